// Bees of the program under test beside those of npm hyperbee, on loopback.
//
// What the tests take for granted about the command line, beside what core.mjs says of cores:
//
//   bee create --data DIR [--name N]                        prints the key; JSON {key}
//   bee put --data DIR KEY [key value]                      one, or a line "key TAB value" each of standard input; with --jsonl an object
//                                                           {key, value, type}. JSON {put, deleted, refused, missing, same, version}
//   bee del --data DIR KEY [key]                            one, or a line each
//   bee get --data DIR KEY key [--at V]                     JSON {seq, key, value}; exit code 1 when it is not there
//   bee list --data DIR KEY [--gt … --reverse --limit N --at V --sub NAME]   JSON a line for each entry, as get
//   bee diff --data DIR KEY FROM [TO]                       JSON a line for each key, {key, before, after}; a side is {seq, value} or null
//   bee history --data DIR KEY [--gte N …]                  JSON a line for each block, {seq, type, key, value}
//   bee watch --data DIR KEY [key]                          JSON as diff, as it happens, until SIGTERM
//   bee info --data DIR KEY                                 JSON as `core info`, and version
//
// get, list, diff, history and watch take --tcp HOST:PORT, to read a bee at a peer sparsely. Keys and values are --key-encoding and
// --value-encoding utf-8 (when left out), json, or binary, which is hexadecimal.
import assert from 'node:assert/strict'
import Hyperbee from 'hyperbee'
import { Holdfast, Scene } from './core.mjs'

export const utf8 = { keyEncoding: 'utf-8', valueEncoding: 'utf-8' }
export const entry = i => [`key ${String(i).padStart(6, '0')}`, `value ${i}`]

// A data directory whose commands are those on bees; `core` has those on cores.
export class Bees extends Holdfast {
  constructor (scene, directory) {
    super(scene, directory, 'bee')
    this.core = new Holdfast(scene, directory)
  }

  // One batch, unless --batch says otherwise.
  put (key, entries, ...options) {
    return this.object(['put', key, ...options], { input: entries.map(pair => pair.join('\t') + '\n').join('') })
  }

  // {key, value, type} each, where type may be missing.
  change (key, changes, ...options) {
    return this.object(['put', key, '--jsonl', ...options], { input: changes.map(change => JSON.stringify(change) + '\n').join('') })
  }

  list (key, ...options) {
    return this.objects(['list', key, ...options])
  }

  diff (key, from, ...options) {
    return this.objects(['diff', key, from, ...options])
  }

  history (key, ...options) {
    return this.objects(['history', key, ...options])
  }

  async value (key, name, ...options) {
    return (await this.object(['get', key, name, ...options])).value
  }
}

export async function bees (scene) {
  const { directory } = await scene.holdfast()
  return new Bees(scene, directory)
}

// A bee of the package, on a core that counts.
export async function theirs (scene, key = null, { encodings = utf8, ...options } = {}) {
  const core = await scene.core(key, options)
  const bee = new Hyperbee(core, encodings)
  await bee.ready()
  return bee
}

export async function filled (scene, count, options) {
  const bee = await theirs(scene, null, options)
  const batch = bee.batch()
  for (let i = 0; i < count; i++) await batch.put(...entry(i))
  await batch.flush()
  return bee
}

export async function all (stream) {
  const list = []
  for await (const one of stream) list.push(one)
  return list
}

const side = entry => entry && { seq: entry.seq, value: entry.value }

// What both list, tell as history, and find different from a version.
export async function assertSameBee (bee, ours, { key = bee.core.id, from = 1, at = [], options = [] } = {}) {
  assert.deepEqual(await ours.list(key, ...at, ...options), await all(bee.createReadStream()))
  assert.deepEqual(await ours.list(key, '--reverse', '--limit', 7, ...at, ...options), await all(bee.createReadStream({ reverse: true, limit: 7 })))
  assert.deepEqual(await ours.history(key, ...at, ...options),
    (await all(bee.createHistoryStream())).map(({ seq, type, key, value }) => type === 'del' ? { seq, type, key } : { seq, type, key, value }))
  const differences = await all(bee.createDiffStream(from))
  const to = at.length ? [at[1]] : []
  assert.deepEqual(await ours.diff(key, from, ...to, ...options),
    differences.map(({ left, right }) => ({ key: (left ?? right).key, before: side(right), after: side(left) })))
}

export { Scene }
