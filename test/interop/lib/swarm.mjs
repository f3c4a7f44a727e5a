// Networks on loopback, of the packages' nodes and of ours, and peers of both kinds on them.
import { spawn } from 'node:child_process'
import assert from 'node:assert/strict'
import Corestore from 'corestore'
import DHT from 'hyperdht'
import Hyperswarm from 'hyperswarm'
import { binary } from './program.mjs'
import { Scene as Cores, until } from './core.mjs'

const host = '127.0.0.1'

// A node of the package that can be the first of a network, and others that join it.
async function theirNodes (scene, count, bootstrap) {
  const nodes = []
  for (let i = 0; i < count; i++) {
    const node = bootstrap.length === 0 && i === 0
      ? DHT.bootstrapper(await freePort(), host, { host })
      : new DHT({ bootstrap: [...bootstrap, ...nodes.slice(0, 1).map(address)], ephemeral: false, firewalled: false, host })
    scene.onEnd(() => node.destroy({ force: true }))
    await node.ready()
    nodes.push(node)
  }
  return nodes.map(address)
}

const address = node => ({ host, port: node.address().port })

async function freePort () {
  const { createSocket } = await import('node:dgram')
  const socket = createSocket('udp4')
  await new Promise(resolve => socket.bind(0, host, resolve))
  const { port } = socket.address()
  await new Promise(resolve => socket.close(resolve))
  return port
}

// `holdfast dht testnet`, which prints where its nodes are.
async function ourNodes (scene, count, bootstrap) {
  const joins = bootstrap.flatMap(({ host, port }) => ['--bootstrap', `${host}:${port}`])
  const child = spawn(binary, ['dht', 'testnet', '--nodes', String(count), '--json', ...joins], { stdio: ['ignore', 'pipe', 'pipe'] })
  const net = { out: '', log: '' }
  child.stdout.on('data', data => { net.out += data })
  child.stderr.on('data', data => { net.log += data })
  const exited = new Promise(resolve => child.once('close', resolve))
  scene.onEnd(async () => { child.kill('SIGTERM'); await exited; assert.doesNotMatch(net.log, /Sanitizer|assertion/i) })
  await until(() => net.out.includes('\n') || child.exitCode !== null, 20000)
  assert.equal(child.exitCode, null, net.log)
  return JSON.parse(net.out.split('\n')[0]).nodes.map(text => ({ host: text.split(':')[0], port: Number(text.split(':')[1]) }))
}

// kind: ours, theirs or mixed (half and half). The addresses of all its nodes.
export async function network (scene, kind, count = 8) {
  if (kind === 'ours') return ourNodes(scene, count, [])
  if (kind === 'theirs') return theirNodes(scene, count, [])
  const ours = await ourNodes(scene, count / 2, [])
  return [...ours, ...await theirNodes(scene, count / 2, ours.slice(0, 1))]
}

export class Scene extends Cores {
  static async of (t, kind = 'theirs') {
    const scene = await Cores.of(t)
    Object.setPrototypeOf(scene, Scene.prototype)
    scene.nodes = await network(scene, kind)
    scene.bootstrap = scene.nodes.slice(0, 3)
    return scene
  }

  // Options of a command that takes part in the network.
  get options () {
    return this.bootstrap.flatMap(({ host, port }) => ['--bootstrap', `${host}:${port}`])
  }

  dht () {
    const dht = new DHT({ bootstrap: this.bootstrap, host })
    this.onEnd(() => dht.destroy({ force: true }))
    return dht
  }

  // A command that runs until it is stopped; found gives what a pattern captures of its output.
  program (args) {
    const program = { out: '', log: '' }
    const child = spawn(binary, [...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.on('data', data => { program.out += data })
    child.stderr.on('data', data => { program.log += data })
    const exited = new Promise(resolve => child.once('close', resolve))
    program.found = async pattern => (await until(() => program.out.match(pattern) ?? child.exitCode !== null, 20000))[1] ?? assert.fail(program.log)
    program.stop = () => { child.kill('SIGTERM'); return exited }
    this.onEnd(() => child.kill('SIGKILL'))
    return program
  }

  // A Hyperswarm of the package.
  swarm (options = {}) {
    const swarm = new Hyperswarm({ bootstrap: this.bootstrap, ...options })
    this.onEnd(() => swarm.destroy())
    return swarm
  }

  // One that replicates a store; {swarm, store, errors}.
  async peer (options) {
    const store = await this.store()
    const swarm = this.swarm(options)
    const errors = []
    swarm.on('connection', stream => {
      stream.on('error', error => errors.push(error))
      store.replicate(stream)
    })
    return { swarm, store, errors }
  }
}

export { Corestore, DHT, Hyperswarm }
