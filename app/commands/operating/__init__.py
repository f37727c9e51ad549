"""What stands behind `flask users`.

showing    a user's account, and what operators have done to it: for people and for programs
"""
