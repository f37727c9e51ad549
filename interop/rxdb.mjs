// An offline-first database that nobody here wrote (RxDB) in step with this API: several devices of one user go
// offline, edit the same documents, delete, lose answers, and agree in the end. Prints one JSON line per step, and
// waits for a line on its standard input after the step "away".
// Usage: TOKEN=… node rxdb.mjs API SEED careful|keyless|naive
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { createRxDatabase } from 'rxdb/plugins/core'
import { replicateRxCollection } from 'rxdb/plugins/replication'
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory'

const [api, seed, mode] = process.argv.slice(2)
const { TOKEN } = process.env
const PAGE = 10
const ROUNDS = 6
const EDITS_A_ROUND = 8
const LOSES_EVERY = 4
const PATIENCE_MS = 60_000
const startedAt = Date.now()
const say = (step, facts) => console.log(JSON.stringify({ step, ...facts }))
const counts = {
  edits: 0, stored: 0, conflicts: 0, deleted_and_changed: 0, lost_answers: 0, lost_writes: 0, replayed: 0,
  not_modified: 0, resyncs: 0,
}

// --- What an app needs to sync with /v1: two handlers, and a rule for conflicts. ------------------------------------

// A document of RxDB is the record's data, beside its id and the version that it was last seen in.
const asDocument = ({ id, etag, deleted, data }) => ({ id, title: '', marks: {}, ...data, etag, _deleted: Boolean(deleted) })
const asData = ({ title, marks }) => ({ title, marks })

// RxDB pushes and pulls at the same time, and leaves out what it pulls of a document that it has not pushed yet. If the
// page that tells of a later change overtakes the answer to the push, or the push is answered at its second attempt
// only, the change is left out for good. So a device does one thing at a time, and sends before it asks (docs/sync.md).
const inTurn = (device, work) => (...given) => {
  const done = device.turn.then(() => work(...given))
  device.turn = done.catch(() => {})
  return done
}

// The checkpoint is the cursor of /v1/changes. RxDB asks again for as long as a page is full.
const pullHandler = (device) => async (checkpoint, batchSize) => {
  if (device.unanswered.size) throw new Error('what was sent is not answered yet')
  const documents = []
  let cursor = checkpoint?.cursor
  let page
  do {
    const query = new URLSearchParams({ collections: 'notes', limit: batchSize, ...(cursor && { cursor }) })
    const answer = await device.send('GET', `/v1/changes?${query}`, undefined, cursor && { 'if-none-match': `"${cursor}"` })
    if (answer.status === 304) break
    if (answer.body.code === 'cursor_expired') return everythingAnew(device)
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body.code}`)
    page = answer.body
    documents.push(...page.changes.map(asDocument))
    cursor = page.cursor
    // A page can be short because of its bytes, and RxDB takes a short one for the last.
  } while (page.has_more && documents.length < batchSize)
  return { documents, checkpoint: { cursor } }
}

// Deletions have been forgotten that this device has not heard of: what it holds and the server does not have is gone.
// What was made or changed here and not sent yet is not touched by that: RxDB keeps it, and its push decides.
const everythingAnew = async (device) => {
  counts.resyncs += 1
  const { documents, checkpoint } = await pullHandler(device)(undefined, Number.MAX_SAFE_INTEGER)
  const living = new Set(documents.map(({ id }) => id))
  const held = await device.notes.find().exec()
  const gone = held.filter(({ id }) => !living.has(id)).map(({ id }) => asDocument({ id, etag: '', deleted: true }))
  return { documents: [...documents, ...gone], checkpoint }
}

// RxDB hands in what it assumes to be stored; its version is the condition. What is refused comes back as the conflict.
const pushHandler = (device) => {
  const pushed = new Map() // what this device has stored since it last pulled: id → the document, and its version
  const etagOf = (known) => {
    const own = pushed.get(known.id)
    return own && isDeepStrictEqual(own.document, known) ? own.etag : known.etag
  }
  return async (rows) => {
    const operations = rows.map(({ assumedMasterState: known, newDocumentState: mine }) => ({
      op: mine._deleted ? 'delete' : 'put',
      collection: 'notes',
      id: mine.id,
      ...(mode !== 'naive' && (known && !known._deleted ? { if_match: etagOf(known) } : { if_none_match: '*' })),
      ...(!mine._deleted && { data: asData(mine) }),
    }))
    const body = JSON.stringify({ operations })
    // What was not answered is sent again by RxDB, and then under the same key.
    const key = device.unanswered.get(body) ?? randomUUID()
    device.unanswered.set(body, key)
    const answer = await device.send('POST', '/v1/batch', body, mode !== 'keyless' && { 'idempotency-key': key })
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body.code}`)
    device.unanswered.delete(body)
    return answer.body.results.flatMap((result, number) => {
      const { newDocumentState: mine } = rows[number]
      if (result.status < 300) {
        counts.stored += 1
        pushed.set(mine.id, { document: mine, etag: result.etag })
        return []
      }
      if (result.status === 412) {
        counts.conflicts += 1
        // Without `current` there is nothing, and no memory of a deletion either.
        return [asDocument(result.current ?? { id: mine.id, etag: '', deleted: true })]
      }
      // Deleted here, and nobody knows it any more.
      if (result.status === 404 && mine._deleted) return []
      throw new Error(`${result.status} ${result.problem.code} ${mine.id}`)
    })
  }
}

const isEqual = (a, b) =>
  a._deleted === b._deleted && a.etag === b.etag && (a._deleted || isDeepStrictEqual(asData(a), asData(b)))

// Marks are only ever added, so both sides' are kept; a title is whose who changed it; a change outlives a deletion.
const resolve = ({ assumedMasterState: known, newDocumentState: mine, realMasterState: theirs }) => {
  if (mine._deleted !== theirs._deleted) counts.deleted_and_changed += 1
  if (mine._deleted) return theirs
  if (theirs._deleted) return { ...mine, etag: theirs.etag }
  const title = mine.title === known?.title ? theirs.title : mine.title
  return { ...theirs, title, marks: { ...theirs.marks, ...mine.marks } }
}

// --- The devices ------------------------------------------------------------------------------------------------------

const SCHEMA = {
  version: 0,
  primaryKey: 'id',
  type: 'object',
  properties: {
    id: { type: 'string', maxLength: 64 },
    title: { type: 'string' },
    marks: { type: 'object' },
    etag: { type: 'string' },
  },
}

class Device {
  offline = false
  answers = 0
  turn = Promise.resolve()
  unanswered = new Map() // a body → its key

  constructor(name) {
    this.name = name
  }

  async start() {
    this.database = await createRxDatabase({ name: `${this.name}-${seed}`, storage: getRxStorageMemory(), multiInstance: false })
    const conflictHandler = { isEqual, resolve }
    const { notes } = await this.database.addCollections({ notes: { schema: SCHEMA, conflictHandler } })
    this.notes = notes
    this.replication = replicateRxCollection({
      collection: notes,
      replicationIdentifier: api,
      live: true,
      retryTime: 40,
      waitForLeadership: false,
      pull: { handler: inTurn(this, pullHandler(this)), batchSize: PAGE },
      push: { handler: inTurn(this, pushHandler(this)), batchSize: PAGE },
    })
  }

  // One request. Every so often, and when the device has gone offline meanwhile, the server has done its work and the
  // answer does not arrive.
  async send(method, path, body, fields = {}) {
    if (this.offline) throw new TypeError('offline')
    const headers = { authorization: `Bearer ${TOKEN}`, 'device-id': this.name, 'content-type': 'application/json', ...fields }
    const answer = await fetch(api + path, { method, body, headers })
    const text = await answer.text()
    this.answers += 1
    if (this.offline || this.answers % LOSES_EVERY === 0) {
      counts.lost_answers += 1
      if (method === 'POST') counts.lost_writes += 1
      throw new TypeError('the answer is lost')
    }
    if (answer.headers.get('idempotency-replayed') === 'true') counts.replayed += 1
    if (answer.status === 304) counts.not_modified += 1
    return { status: answer.status, body: text ? JSON.parse(text) : {} }
  }

  // What this device's user does: the same for the same seed, whatever the others do meanwhile.
  async edit(number) {
    const isKept = random() < 0.5
    const id = isKept ? `kept-${pick(5)}` : `loose-${pick(12)}`
    const mark = `${this.name}-${number}`
    const wish = random()
    counts.edits += 1
    const found = await this.notes.findOne(id).exec()
    if (found && !isKept && wish < 0.4) return found.incrementalRemove()
    if (isKept) marks.push([id, mark])
    const changed = (note) => ({
      ...note, title: wish < 0.7 ? mark : note.title, marks: { ...note.marks, [mark]: true },
    })
    if (found) return found.incrementalModify(changed)
    return this.notes.insert(changed({ id, title: '', marks: {}, etag: '' })).catch((error) => {
      // The pull was faster.
      if (error.code !== 'CONFLICT') throw error
      return this.notes.findOne(id).exec().then((note) => note.incrementalModify(changed))
    })
  }

  async holds() {
    const notes = await this.notes.find().exec()
    return notes.map((note) => ({ id: note.id, etag: note.etag, ...asData(note.toJSON()) })).sort(byId)
  }

  async inSync() {
    this.replication.reSync()
    await this.replication.awaitInSync()
  }
}

const byId = (a, b) => (a.id < b.id ? -1 : 1)
const random = generator(Number(seed))
const pick = (count) => Math.floor(random() * count)
const marks = [] // every mark that was made on a document that nobody deletes

// mulberry32
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

// Whatever hangs, hangs no longer than this.
setTimeout(() => {
  say('hung', counts)
  process.exit(2)
}, PATIENCE_MS).unref()

const devices = ['phone', 'tablet', 'laptop', 'watch'].map((name) => new Device(name))
await Promise.all(devices.map((device) => device.start()))

const play = async (players, round) => {
  for (const device of players) device.offline = random() < 0.5
  for (let number = 0; number < EDITS_A_ROUND; number += 1) {
    for (const device of players) await device.edit(`${round}-${number}`)
    await sleep(10)
  }
  for (const device of players) device.replication.reSync()
  await sleep(100)
}

const server = async () => {
  const found = []
  let query = 'limit=500'
  while (query) {
    const answer = await fetch(`${api}/v1/collections/notes/records?${query}`, { headers: { authorization: `Bearer ${TOKEN}` } })
    const page = await answer.json()
    found.push(...page.records)
    query = page.next && new URLSearchParams({ limit: 500, page: page.next }).toString()
  }
  return found.map(({ id, etag, data }) => ({ id, etag, ...asData(data) })).sort(byId)
}

const agree = async (players) => {
  for (const device of players) device.offline = false
  for (;;) {
    await Promise.all(players.map((device) => device.inSync()))
    const held = await Promise.all(players.map((device) => device.holds()))
    const stored = await server()
    if (held.every((one) => isDeepStrictEqual(one, stored))) return stored
    // Early enough to say how they differ.
    if (Date.now() - startedAt > 0.8 * PATIENCE_MS) {
      const lacks = (some, all) => some.filter((note) => !all.some((other) => isDeepStrictEqual(other, note)))
      const unlike = held.map((one, number) => ({
        device: players[number].name, held: lacks(one, stored), stored: lacks(stored, one),
      }))
      say('disagreed', { unlike })
      process.exit(1)
    }
  }
}

for (let round = 0; round < ROUNDS / 2; round += 1) await play(devices, round)
await agree(devices)
say('half', { ...counts })

// The watch is away for longer than deletions are remembered, and its user goes on writing.
const [watch, others] = [devices.at(-1), devices.slice(0, -1)]
watch.offline = true
await watch.notes.insert({ id: 'made-away', title: 'made away', marks: {}, etag: '' })
const before = await watch.holds()
const loose = before.filter(({ id }) => id.startsWith('loose-'))
for (const { id } of loose) await others[0].notes.findOne(id).exec().then((note) => note?.incrementalRemove())
await watch.notes.findOne(loose[0].id).exec().then((note) => note.incrementalPatch({ title: 'changed away' }))
await agree(others)
say('away', { deleted: loose.length })
await once(process.stdin, 'data')
process.stdin.destroy()
watch.offline = false
const back = await agree(devices)
say('back', { resyncs: counts.resyncs, loose: back.filter(({ id }) => /^(loose|made)-/.test(id)).map(({ id, title }) => ({ id, title })), changed: loose[0].id })

for (let round = ROUNDS / 2; round < ROUNDS; round += 1) await play(devices, round)
const stored = await agree(devices)
const missing = marks.filter(([id, mark]) => !stored.find((note) => note.id === id)?.marks[mark])
say('end', { ...counts, devices: devices.length, documents: stored.length, marks: marks.length, missing: missing.length })
await Promise.all(devices.map((device) => device.database.close()))
