// The packages' side of bench/swarm.mjs: a peer on a network of one's own, with a corestore.
//   swarm_peer.mjs serve  DIRECTORY BOOTSTRAP BLOCKS BYTES   makes a core, announces it, prints {key} once it is; then waits
//   swarm_peer.mjs fetch  DIRECTORY BOOTSTRAP KEY BLOCKS     brings it, prints {seconds, cpu_s}
import { randomFillSync } from 'node:crypto'
import Corestore from 'corestore'
import Hyperswarm from 'hyperswarm'

const began = process.hrtime.bigint()
const seconds = () => Number(process.hrtime.bigint() - began) / 1e9
const [mode, directory, bootstrap, ...rest] = process.argv.slice(2)
const [host, port] = bootstrap.split(':')
const store = new Corestore(directory)
const swarm = new Hyperswarm({ bootstrap: [{ host, port: Number(port) }] })
swarm.on('connection', stream => { stream.on('error', () => {}); store.replicate(stream) })

if (mode === 'serve') {
  const [blocks, bytes] = rest.map(Number)
  const core = store.get({ name: 'bench' })
  await core.ready()
  const block = Buffer.alloc(bytes)
  for (let i = 0; i < blocks; i += 1000) {
    await core.append(Array.from({ length: Math.min(1000, blocks - i) }, () => { randomFillSync(block, 0, Math.min(bytes, 32)); return Buffer.from(block) }))
  }
  await swarm.join(core.discoveryKey).flushed()
  console.log(JSON.stringify({ key: core.id }))
} else {
  const [key, blocks] = [rest[0], Number(rest[1])]
  const core = store.get(key)
  await core.ready()
  swarm.join(core.discoveryKey, { server: false })
  while (core.length < blocks) await new Promise(resolve => core.once('append', resolve))
  await core.download({ start: 0, end: blocks }).done()
  const { user, system } = process.cpuUsage()
  console.log(JSON.stringify({ seconds: seconds(), cpu_s: (user + system) / 1e6 }))
  process.exit(0)
}
