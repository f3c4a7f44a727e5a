// The command line: JSONL on pipes, on a free data directory and through a running gateway alike; exit codes; backup.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from './lib/gateway.mjs'
import { binary } from './lib/program.mjs'
import { Author, Client, now, sleep } from './lib/client.mjs'
import { file, run, scratch } from './lib/command.mjs'

const timeout = 60000
const authors = [new Author(), new Author(), new Author()]
const events = Array.from({ length: 300 }, (_, i) => authors[i % 3].event({
  kind: [1, 1, 7, 30023][i % 4], content: `event ${i} \u0000\u007f\u2028 "\\ ${'ä'.repeat(i % 50)}`, created_at: now() - 1000 + i, tags: [['t', `t${i % 7}`], ['d', `${i}`]]
}))
const jsonl = list => list.map(event => JSON.stringify(event) + '\n').join('')
const parse = out => out.split('\n').filter(Boolean).map(line => JSON.parse(line))
const sorted = list => list.map(event => event.id).sort()

let directory
before(async () => { directory = await scratch() })
after(() => rm(directory, { recursive: true, force: true }))

// A data directory with all events, for a test of its own.
let serial = 0
async function filled (list = events) {
  const own = join(directory, `${serial++}`)
  await mkdir(own)
  const { code, err } = await run(['relay', 'import', '--data', join(own, 'data')], { input: jsonl(list) })
  assert.equal(code, 0, err)
  return own
}

// The same commands on the free directory and through the gateway that holds it: [direct, through].
async function bothWays (own, commands) {
  const data = join(own, 'data')
  const all = () => Promise.all(commands.map(args => run([...args, '--data', data])))
  const direct = []
  for (const args of commands) direct.push(await run([...args, '--data', data]))
  const gateway = await Gateway.start({ directory: own })
  try {
    return [direct, await all()]
  } finally {
    await gateway.stop()
  }
}

test('what is imported is what is exported, and importing it again stores nothing', { timeout }, async () => {
  const own = await filled()
  const out = (await run(['relay', 'export', '--data', join(own, 'data')])).out
  assert.deepEqual(sorted(parse(out)), sorted(events))
  const byId = new Map(parse(out).map(event => [event.id, event]))
  for (const event of events) {
    const { id, pubkey, created_at: createdAt, kind, tags, content, sig } = event
    assert.deepEqual(byId.get(id), { id, pubkey, created_at: createdAt, kind, tags, content, sig })
  }
  const again = await run(['relay', 'import', '--data', join(own, 'data'), '--json'], { input: out })
  assert.deepEqual(JSON.parse(again.out), { stored: 0, duplicates: 300, refused: 0 })
  const other = await run(['relay', 'import', '--data', join(directory, 'other'), '--json'], { input: out })
  assert.equal(JSON.parse(other.out).stored, 300)
  const copied = (await run(['relay', 'export', '--data', join(directory, 'other')])).out
  assert.deepEqual(copied.split('\n').sort(), out.split('\n').sort(), 'the copy of a copy is the same, byte for byte')
})

test('every reading command gives the same output directly and through the gateway', { timeout }, async () => {
  const commands = [
    ['relay', 'export'], ['relay', 'export', '--json'], ['relay', 'count'], ['relay', 'count', '--json', '{"kinds":[1]}'],
    ['relay', 'count', '{"kinds":[7]}', '{"#t":["t1"]}'], ['relay', 'scan'], ['relay', 'scan', '{"kinds":[30023],"limit":5}'],
    ['relay', 'scan', '--limit', '3', '{}'], ['relay', 'scan', '{"ids":["' + '0'.repeat(64) + '"]}'], ['relay', 'stats'], ['relay', 'stats', '--json'],
    ['relay', 'count', '{bad'], ['relay', 'count', '{"kinds":["x"]}'], ['relay', 'count', '{"nothing":1}'], ['relay', 'stats', '--relay', 'nowhere'],
    ['store', 'verify'], ['store', 'verify', '--json'], ['relay', 'rebuild', '--json']
  ]
  const [direct, through] = await bothWays(await filled(), commands)
  for (const [i, args] of commands.entries()) {
    const what = args.join(' ')
    assert.equal(through[i].out, direct[i].out, what)
    assert.equal(through[i].err, direct[i].err, what)
    assert.equal(through[i].code, direct[i].code, what)
  }
  const by = new Map(commands.map((args, i) => [args.join(' '), direct[i]]))
  assert.equal(JSON.parse(by.get('relay count --json {"kinds":[1]}').out).count, events.filter(e => e.kind === 1).length)
  assert.deepEqual(parse(by.get('relay scan --limit 3 {}').out).map(e => e.id), events.slice(-3).reverse().map(e => e.id))
  assert.equal(parse(by.get('relay scan').out).length, 300)
  assert.equal(by.get('relay scan {"ids":["' + '0'.repeat(64) + '"]}').code, 0)
  assert.equal(JSON.parse(by.get('relay stats --json').out).events, 300)
  for (const wrong of ['relay count {bad', 'relay count {"kinds":["x"]}', 'relay count {"nothing":1}', 'relay stats --relay nowhere']) {
    assert.notEqual(by.get(wrong).code, 0, wrong)
    assert.equal(by.get(wrong).err.trim().split('\n').length, 1, 'one sentence')
  }
})

test('an import through the gateway is stored, reported alike and seen by its clients', { timeout }, async () => {
  const broken = jsonl(events.slice(0, 3)) + 'garbage\n' + jsonl(events.slice(3, 5)) + '\n\n' + jsonl([{ ...events[5], content: 'forged' }]) +
    jsonl([{ ...events[6], sig: events[7].sig }]) + '{"id":1}\n' + '[' .repeat(100000) + '\n' + JSON.stringify(events[8]).slice(0, 100) + '\n' +
    jsonl([authors[0].event({ kind: 20001 })]) + '\xff\xfe\n' + JSON.stringify(events[9]) // no end of line
  const direct = await run(['relay', 'import', '--json', '--data', join(directory, 'direct')], { input: broken })
  assert.equal(direct.code, 0)
  assert.deepEqual(JSON.parse(direct.out), { stored: 6, duplicates: 0, refused: 8 })
  for (const [line, reason] of [[4, /JSON/], [9, /hash/], [10, /signature/], [11, /id/], [12, /./], [13, /JSON/], [14, /never stored/], [15, /./]]) {
    const said = direct.err.split('\n').find(text => text.startsWith(`line ${line}: `))
    assert.match(said ?? `line ${line} is not named in ${direct.err}`, reason)
  }
  const gateway = await Gateway.start()
  try {
    const through = await run(['relay', 'import', '--json', '--data', join(gateway.directory, 'data')], { input: broken })
    assert.equal(through.out, direct.out)
    assert.equal(through.err, direct.err)
    const client = await Client.connect(gateway.url)
    assert.deepEqual((await client.ids({})).sort(), sorted([...events.slice(0, 5), events[9]]))
    client.close()
  } finally {
    await gateway.stop()
  }
})

test('an import of more than one chunk counts its lines and keeps its order', { timeout }, async () => {
  const many = []
  for (let i = 0; i < 40; i++) many.push(authors[0].event({ content: `${i} ${'y'.repeat(60000)}`, created_at: now() - i }))
  const huge = JSON.stringify(authors[0].event({ content: 'z'.repeat(9 << 20) }))
  const text = jsonl(many) + huge + '\n' + jsonl(many.map((_, i) => authors[1].event({ content: `${i} ${'y'.repeat(60000)}`, created_at: now() - i }))) + 'broken\n'
  for (const through of [false, true]) {
    const own = join(directory, `chunks-${through}`)
    await mkdir(own)
    const gateway = through ? await Gateway.start({ directory: own }) : null
    const imported = await run(['relay', 'import', '--json', '--data', join(own, 'data')], { input: text })
    assert.deepEqual(JSON.parse(imported.out), { stored: 80, duplicates: 0, refused: 2 })
    assert.match(imported.err, /^line 41: /m)
    assert.match(imported.err, /^line 82: /m)
    const exported = parse((await run(['relay', 'export', '--data', join(own, 'data')])).out)
    assert.deepEqual(sorted(exported.filter(e => e.pubkey === authors[0].pubkey)), sorted(many))
    assert.equal(exported.length, 80)
    await gateway?.stop()
  }
})

test('an import that nothing fits into any more fails and says why', { timeout }, async () => {
  const many = Array.from({ length: 200 }, (_, i) => authors[0].event({ content: `${i} ${'y'.repeat(10000)}` }))
  const full = await run(['relay', 'import', '--data', join(directory, 'full'), '--store-quota', '1MiB', '--json'], { input: jsonl(many) })
  assert.notEqual(full.code, 0, 'events were lost for want of room')
  const { stored, refused } = JSON.parse(full.out)
  assert.ok(stored > 0 && refused > 0, full.out)
  assert.match(full.err, /full|quota|space/i)
  assert.equal(JSON.parse((await run(['relay', 'count', '--json', '--data', join(directory, 'full')])).out).count, stored)
})

test('a reader that goes away ends an export without noise', { timeout }, async () => {
  const own = await filled()
  const child = spawn(binary, ['relay', 'export', '--data', join(own, 'data')], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', data => { err += data })
  await new Promise(resolve => child.once('close', resolve))
  assert.doesNotMatch(err, /assert|Sanitizer/)
  assert.equal((await run(['store', 'verify', '--data', join(own, 'data')])).code, 0)
})

test('deleted and replaced events are not exported, and compacting gives their space back', { timeout }, async () => {
  const author = new Author()
  const doomed = Array.from({ length: 100 }, (_, i) => author.event({ content: `${i} ${'d'.repeat(5000)}`, created_at: now() - 100 }))
  const profiles = Array.from({ length: 20 }, (_, i) => author.event({ kind: 0, content: `${i} ${'p'.repeat(5000)}`, created_at: now() - 100 + i }))
  const deletion = author.event({ kind: 5, tags: doomed.map(event => ['e', event.id]) })
  const own = await filled([...doomed, ...profiles, deletion])
  const data = join(own, 'data')
  const exported = parse((await run(['relay', 'export', '--data', data])).out)
  assert.deepEqual(sorted(exported), sorted([profiles[19], deletion]))
  const compacted = await run(['store', 'compact', '--json', '--data', data])
  assert.equal(compacted.code, 0, compacted.err)
  const { disk_bytes_before: before, disk_bytes_after: after } = JSON.parse(compacted.out)
  assert.ok(after < before / 5, `${before} to ${after}`)
  assert.deepEqual(sorted(parse((await run(['relay', 'export', '--data', data])).out)), sorted(exported))
  assert.equal((await run(['store', 'verify', '--data', data])).code, 0)
})

test('rebuild makes the same index anew', { timeout }, async () => {
  const own = await filled()
  const data = join(own, 'data')
  const queries = ['{"kinds":[1]}', '{"#t":["t3"]}', `{"authors":["${authors[1].pubkey}"]}`, '{}']
  const answers = async () => {
    const out = []
    for (const q of queries) out.push((await run(['relay', 'scan', q, '--data', data])).out)
    return out
  }
  const before = await answers()
  const rebuilt = await run(['relay', 'rebuild', '--data', data])
  assert.equal(rebuilt.code, 0, rebuilt.err)
  assert.deepEqual(await answers(), before)
  assert.equal((await run(['store', 'verify', '--data', data])).code, 0)
})

test('a backup taken while events are published opens, is sound and has all that was OK before it began', { timeout }, async () => {
  const gateway = await Gateway.start()
  try {
    const author = new Author()
    const acknowledged = new Map()
    const sent = new Set()
    let publishing = true
    const clients = await Promise.all([1, 2, 3].map(() => Client.connect(gateway.url)))
    const publishers = clients.map(async (client, k) => {
      for (let i = 0; publishing; i++) {
        const batch = Array.from({ length: 16 }, (_, j) => author.event({ content: `${k} ${i} ${j}` }))
        for (const event of batch) sent.add(event.id)
        await Promise.all(batch.map(async event => { if ((await client.publish(event))[0]) acknowledged.set(event.id, event) }))
      }
    })
    await sleep(300)
    const before = [...acknowledged.keys()]
    assert.ok(before.length > 0)
    const copy = join(directory, 'copy')
    const taken = await run(['store', 'backup', join(copy, 'data', 'store'), '--data', join(gateway.directory, 'data')])
    assert.notEqual(taken.code, 0, 'the parent is not there, and that is said')
    assert.match(taken.err, /copy\/data/)
    await mkdir(join(copy), { recursive: true })
    const second = await run(['store', 'backup', join(copy, 'store'), '--data', join(gateway.directory, 'data')])
    assert.equal(second.code, 0, second.err)
    await sleep(100)
    publishing = false
    await Promise.all(publishers)
    // As docs/operating.md tells it: a data directory is FORMAT, keys and the store.
    const restored = join(directory, 'restored')
    await mkdir(join(restored, 'data'), { recursive: true, mode: 0o700 })
    await cp(join(gateway.directory, 'data', 'FORMAT'), join(restored, 'data', 'FORMAT'))
    await cp(join(gateway.directory, 'data', 'keys'), join(restored, 'data', 'keys'), { recursive: true })
    await cp(join(copy, 'store'), join(restored, 'data', 'store'), { recursive: true })
    const verified = await run(['store', 'verify', '--data', join(restored, 'data')])
    assert.equal(verified.code, 0, verified.out + verified.err)
    const held = new Map(parse((await run(['relay', 'export', '--data', join(restored, 'data')])).out).map(event => [event.id, event]))
    for (const id of before) assert.ok(held.has(id), 'an event that was OK before the backup is not in it')
    for (const id of held.keys()) assert.ok(sent.has(id))
    const twin = await Gateway.start({ directory: restored })
    const client = await Client.connect(twin.url)
    assert.equal((await client.count({}))[2].count, held.size)
    assert.deepEqual(await client.publish(author.event({ content: 'after' })), [true, ''])
    client.close()
    await twin.stop()
    // The original went on undisturbed.
    assert.equal(JSON.parse((await run(['relay', 'count', '--json', '--data', join(gateway.directory, 'data')])).out).count, acknowledged.size)
    const twice = await run(['store', 'backup', join(copy, 'store'), '--data', join(gateway.directory, 'data')])
    assert.equal(twice.code, 4, 'a backup is not written over another')
    for (const client of clients) client.close()
    for (const name of await readdir(copy)) assert.equal((await stat(join(copy, name))).mode & 0o077, 0, 'a backup is closed to others')
  } finally {
    await gateway.stop()
  }
})

test('several relays are imported into, counted and exported each for itself', { timeout }, async () => {
  const config = await file(directory, 'two.conf', '[relay side]\nnumber = 2\n')
  const data = join(directory, 'two')
  const common = ['--data', data, '--config', config]
  await run(['relay', 'import', ...common], { input: jsonl(events.slice(0, 10)) })
  await run(['relay', 'import', '--relay', 'side', ...common], { input: jsonl(events.slice(5, 8)) })
  assert.equal(JSON.parse((await run(['relay', 'count', '--json', ...common])).out).count, 10)
  assert.equal(JSON.parse((await run(['relay', 'count', '--json', '--relay=side', ...common])).out).count, 3)
  assert.deepEqual(sorted(parse((await run(['relay', 'export', '--relay', 'side', ...common])).out)), sorted(events.slice(5, 8)))
})

test('exit codes tell wrong use, configuration, data directory and failure apart', { timeout }, async () => {
  const missing = join(directory, 'missing'), hollow = join(directory, 'hollow')
  assert.equal((await run(['core', 'create', '--data', hollow])).code, 0)
  await rm(join(hollow, 'store'), { recursive: true })
  const cases = [
    [2, []], [2, ['relay']], [2, ['relay', 'improt']], [2, ['nothing']], [2, ['relay', 'count', '--nothing']], [2, ['store', 'backup']],
    [2, ['version', 'twice']], [2, ['relay', 'scan', '--limit']], [3, ['relay', 'count', '--store-quota', 'lots']],
    [4, ['relay', 'count', '--data', missing]], [4, ['store', 'verify', '--data', missing]], [4, ['relay', 'export', '--data', missing]],
    [4, ['store', 'verify', '--data', hollow]], [0, ['version']], [0, ['--version']], [0, ['--help']], [0, ['relay', '--help']], [0, ['config', 'show']], [0, ['gateway', '--help']]]
  for (const [code, args] of cases) {
    const ended = await run(args)
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.out}${ended.err}`)
    assert.ok(code === 0 ? ended.out : ended.err, `${args.join(' ')} says something`)
  }
  await assert.rejects(stat(missing), { code: 'ENOENT' }, 'reading makes no directory')
  await assert.rejects(stat(join(hollow, 'store')), { code: 'ENOENT' }, 'and no store')
})

test('help teaches: every command has one with an example, and a mistyped word is guessed', { timeout }, async () => {
  const general = (await run(['--help'])).out
  const commands = [...general.matchAll(/^ {2}((?:gateway|relay|store|core|key|config|version)(?: [a-z]+)?) {2,}(.+)$/gm)]
  assert.ok(commands.length >= 28)
  for (const [, words, summary] of commands) {
    const { code, out } = await run([...words.split(' '), '--help'])
    assert.equal(code, 0)
    assert.ok(out.startsWith(`holdfast ${words}`), out)
    assert.ok(out.includes(summary))
    if (words !== 'version') assert.match(out.split('Options:')[0], new RegExp(`\\n  .*holdfast ${words}`), `${words} shows an example`)
  }
  for (const [typed, meant] of [['gatway', 'gateway'], ['relay improt', 'relay import'], ['store verfy', 'store verify'], ['config chek', 'config check'], ['relay conut', 'relay count']]) {
    const { code, err } = await run(typed.split(' '))
    assert.equal(code, 2)
    assert.match(err, new RegExp(`"${typed}".*"${meant}"`))
  }
  assert.match((await run(['relay', 'count', '--relya', 'x'])).err, /--relya.*--relay/)
})
