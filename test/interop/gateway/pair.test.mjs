// Two gateways that share a Redis: what one is told the other knows, and when one is killed the other goes on.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { nip19 } from 'nostr-tools'
import { Author, Client } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { Members } from '../lib/members.mjs'
import { Program } from '../lib/program.mjs'

const author = new Author()

async function startRedis (members) {
  const socket = members.path('redis.sock')
  const redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', members.directory], { stdio: 'ignore' })
  const ended = new Promise(resolve => redis.once('exit', resolve))
  members.programs.push({ end: async () => { redis.kill('SIGTERM'); await ended } })
  await until(async () => {
    const ping = spawn('redis-cli', ['-s', socket, 'ping'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const [answer] = await Promise.race([new Promise(resolve => ping.stdout.once('data', data => resolve([String(data)]))), new Promise(resolve => ping.once('exit', () => resolve([''])))])
    return answer.startsWith('PONG')
  }, 10000)
  return `unix://${socket}`
}

test('a token of one lets in at the other; ended at one it ends at both; killed, the other goes on', { timeout: 120000 }, async () => {
  const members = await Members.prepare()
  try {
    const redis = await startRedis(members)
    members.settings = ['--tokens-enabled', '--registration-redis', redis]
    await members.startGateway()
    const first = { url: members.url, key: members.key, program: members.gateway }
    await members.startGateway('other')
    const second = { url: members.url, key: members.key }
    assert.notEqual(first.key, second.key)

    await members.keep(Program.start(['worker', '--data', members.path('worker'), '--listen', '127.0.0.1:0', '--swarm-bootstrap', members.bootstrap,
      '--worker-gateways', `${first.key},${second.key}`, '--relay-gateway-path', 'club', '--relay-token', '--relay-token-users',
      nip19.npubEncode(author.pubkey)], /holdfast: worker/))
    const admin = async (name, verb, ...args) => JSON.parse((await run(['admin', verb, '--json', '--data', members.path(name), ...args])).out)
    for (const name of ['gateway', 'other']) {
      await until(async () => (await admin(name, 'registrations')).relays.length === 1 && (await admin(name, 'workers')).workers.length === 1, 30000)
    }
    const kept = await until(async () => {
      const text = await readFile(members.path('worker/worker-tokens.json'), 'utf8').catch(() => '')
      return text.match(/[A-Za-z0-9_-]{40,}\.[0-9a-f]{64}/g)
    }, 20000)

    const clients = await Promise.all([first, second].map(gateway => Client.connect(`${gateway.url}/club?token=${kept[0]}`)))
    const note = author.event({ content: 'by the one' })
    assert.deepEqual(await clients[0].publish(note), [true, ''])
    assert.deepEqual(await clients[1].ids({ kinds: [1] }), [note.id])

    const [{ relay }] = (await admin('gateway', 'registrations')).relays
    await admin('gateway', 'revoke', relay)
    assert.deepEqual(await Promise.all(clients.map(client => client.closed)), [4403, 4403])
    assert.equal(await Client.connect(`${second.url}/club?token=${kept[0]}`).then(client => client.closed), 4403)

    await first.program.end('SIGKILL')
    const { tokens } = await admin('other', 'tokens')
    assert.ok(tokens.every(token => token.state === 'revoked'), JSON.stringify(tokens))
    assert.equal((await admin('other', 'registrations')).relays[0].relay, relay)
    assert.equal((await admin('other', 'workers')).workers.length, 1)
  } finally {
    await members.stop()
  }
})

test('an address of Redis that cannot be had is refused with what to do', { timeout: 60000 }, async () => {
  const members = await Members.prepare()
  try {
    const start = url => run(['gateway', '--data', members.path('gateway'), '--listen', '127.0.0.1:0', '--workers-enabled', '--gateway-swarm',
      '--swarm-bootstrap', members.bootstrap, '--registration-redis', url], { timeoutMs: 20000 })
    const encrypted = await start('rediss://host:6379')
    assert.notEqual(encrypted.code, 0)
    assert.match(encrypted.err, /rediss/)
    const absent = await start(`unix://${members.path('nobody.sock')}`)
    assert.notEqual(absent.code, 0)
    assert.match(absent.err, /nobody\.sock/)
  } finally {
    await members.stop()
  }
})
