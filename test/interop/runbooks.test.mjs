// The runbooks, run as they are written: each block of commands of docs/runbooks.md, one after the other, on a gateway with a worker, in
// directories of the test's own and with stand-ins for what belongs to the machine (systemctl, apt-get, chown).
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { nip19 } from 'nostr-tools'
import { Author, Client } from './lib/client.mjs'
import { until } from './lib/command.mjs'
import { binary } from './lib/program.mjs'
import { Members } from './lib/members.mjs'

const document = new URL('../../docs/runbooks.md', import.meta.url)
const author = new Author()

// Of each section its blocks of commands.
function sections (text) {
  const found = new Map()
  for (const section of text.split(/^## /m).slice(1)) {
    const title = section.slice(0, section.indexOf('\n'))
    found.set(title, [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].map(match => match[1]))
  }
  return found
}

// A machine with a gateway that its systemctl starts and stops, and a worker.
class Machine {
  static async start () {
    const machine = new Machine()
    machine.members = await Members.prepare()
    machine.root = machine.members.directory
    machine.env = {}
    for (const path of ['bin', 'backup', 'etc/holdfast']) await mkdir(join(machine.root, path), { recursive: true })
    await copyFile(binary, join(machine.root, 'bin/holdfast'))
    await writeFile(join(machine.root, 'etc/holdfast/holdfast.conf'), ['[gateway]', `data = ${join(machine.root, 'data')}`, 'listen = 127.0.0.1:0', 'swarm = yes', '[swarm]',
      `bootstrap = ${machine.members.bootstrap}`, '[workers]', 'enabled = yes', '[registration]', 'open = yes', '[tokens]', 'enabled = yes', '[relay]', 'bee = yes', ''].join('\n'))
    const pid = join(machine.root, 'pid'), log = join(machine.root, 'log')
    const script = (name, text) => writeFile(join(machine.root, 'bin', name), `#!/bin/bash\nset -eu\n${text}`, { mode: 0o755 })
    await script('systemctl', `
start() { : >${log}; holdfast gateway --config ${machine.root}/etc/holdfast/holdfast.conf >${log} 2>&1 & echo $! >${pid}; for i in $(seq 200); do grep -q 'relay at' ${log} && exit; sleep 0.05; done; cat ${log}; exit 1; }
stop() { kill "$(cat ${pid})"; while kill -0 "$(cat ${pid})" 2>/dev/null; do sleep 0.02; done; rm ${pid}; }
case "$1 $2" in
  "start holdfast") [ -e ${pid} ] || start ;;
  "stop holdfast") stop ;;
  "restart holdfast") stop; start ;;
  "status holdfast") cat ${pid} ;;
  *) echo "what is $*?"; exit 1 ;;
esac`)
    await script('journalctl', `[ "$*" = "-u holdfast -n 50" ]; tail -n 50 ${log}`)
    await script('chown', '[ "$1 $2" = "-R holdfast:" ]')
    await script('apt-get', `[ "$1 $2" = "install -y" ]; cp "$3" ${machine.root}/bin/holdfast.new; mv ${machine.root}/bin/holdfast.new ${machine.root}/bin/holdfast`)
    await machine.run('systemctl start holdfast')
    return machine
  }

  // A block, with the paths of this machine.
  async run (block) {
    const text = block.replaceAll('/var/lib/holdfast', join(this.root, 'data')).replaceAll('/etc/', join(this.root, 'etc/'))
      .replaceAll('/backup/', join(this.root, 'backup/')).replaceAll('/usr/bin/', join(this.root, 'bin/'))
    const options = { cwd: this.root, timeout: 60000, env: { ...process.env, ...this.env, PATH: `${join(this.root, 'bin')}:${process.env.PATH}` } }
    try {
      return (await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', text], options)).stdout
    } catch (error) {
      throw new Error(`${text}\nended with ${error.code ?? error.signal}: ${error.stdout}${error.stderr}\n${await readFile(join(this.root, 'log'), 'utf8')}`)
    }
  }

  async url () { return (await readFile(join(this.root, 'log'), 'utf8')).match(/relay at (ws:\S+),/)[1] }
  async ask (...words) { return JSON.parse(await this.run(`holdfast ${words.join(' ')} --json --data ${join(this.root, 'data')}`)) }

  async stop () {
    await this.run('systemctl stop holdfast').catch(() => {})
    await this.members.stop()
  }
}

test('each runbook does what it says', { timeout: 170000 }, async t => {
  const machine = await Machine.start()
  t.after(() => machine.stop())
  const { members } = machine
  const known = sections(await readFile(document, 'utf8'))
  const ran = new Set()
  const follow = async (title, blocks = known.get(title)) => {
    ran.add(title)
    const out = []
    for (const block of blocks) out.push(await machine.run(block))
    return out
  }
  const publish = async content => {
    const client = await Client.connect(await machine.url())
    const event = author.event({ content })
    assert.deepEqual(await client.publish(event), [true, ''])
    client.close()
    return event.id
  }
  const holds = async id => {
    const client = await Client.connect(await machine.url())
    const found = await client.query({ ids: [id] })
    client.close()
    return found.length === 1
  }

  members.key = (await (await fetch(`${(await machine.url()).replace('ws', 'http')}/api/gateway`)).json()).gateway
  const worker = await members.worker('worker', ['--relay-gateway-path', 'club', '--relay-token', '--relay-token-users', nip19.npubEncode(author.pubkey)])
  const tokens = await until(async () => { const { tokens } = await machine.ask('admin', 'tokens'); return tokens.length > 0 && tokens }, 30000)
  const first = await publish('before everything')

  Object.assign(machine.env, { RELAY: tokens[0].relay, USER_KEY: author.pubkey, BOOTSTRAP: members.bootstrap.split(',')[0] })
  await worker.end() // its machine was stolen, or it would have new tokens issued
  await follow('Token revocation')
  assert.ok((await machine.ask('admin', 'tokens')).tokens.every(token => token.state === 'revoked'))
  assert.deepEqual((await machine.ask('admin', 'registrations')).relays, [])

  for (const title of ['Dispatcher overload', 'Relay without worker', 'Audit lost', 'Store corrupt', 'Token refresh', 'Swarm unreachable', 'Certificate expiring', 'Reload failed',
    'Full disk', 'Gateway down']) await follow(title)

  const { bee } = await machine.ask('relay', 'info')
  await follow('Bee rebuild')
  const rebuilt = (await machine.ask('relay', 'info')).bee
  assert.deepEqual([rebuilt.key, rebuilt.events, rebuilt.paused], [bee.key, 1, false])
  assert.equal(rebuilt.fork, bee.fork + 1)

  const keys = async () => (await machine.run(`holdfast key show --json --data ${join(machine.root, 'data')}`)).trim().split('\n').map(line => JSON.parse(line))
  await follow('Key rotation', known.get('Key rotation').slice(0, 2))
  const retired = (await keys()).filter(key => key.state === 'retiring')
  assert.equal(retired.length, 2)
  machine.env.OLD_KEY = retired[0].id
  await follow('Key rotation', known.get('Key rotation').slice(2))
  assert.equal((await keys()).find(key => key.id === retired[0].id)?.state ?? 'revoked', 'revoked')

  const [backUp, restore, addBack] = known.get('Backup and restore')
  await follow('Backup and restore', [backUp])
  const later = await publish('after the backup')
  const { bee: { fork } } = await machine.ask('relay', 'info')
  await follow('Backup and restore', [restore])
  assert.deepEqual([await holds(first), await holds(later)], [true, false])
  await follow('Backup and restore', [addBack])
  assert.ok(await holds(later))
  const restored = await until(async () => { const { bee } = await machine.ask('relay', 'info'); return bee.events === 2 && bee })
  assert.ok(restored.fork > fork)

  machine.env.PACKAGE = binary
  await follow('Upgrade and rollback')
  assert.ok(await holds(first) && await holds(later))

  const never = [...known].filter(([title, blocks]) => blocks.length > 0 && !ran.has(title)).map(([title]) => title)
  assert.deepEqual(never, [])
})
