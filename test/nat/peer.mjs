// A peer of the npm package in a namespace of test/nat/lab: network | relay SEED | server SEED | client KEY [RELAY]. An event a line, in JSON.
import HyperDHT from 'hyperdht'
import relay from 'blind-relay'
import Protomux from 'protomux'
import c from 'compact-encoding'

const [role, word, relayKey] = process.argv.slice(2)
const bootstrap = [{ host: '9.9.0.101', port: 49737 }]
const say = event => console.log(JSON.stringify(event))
const open = (options = {}) => new HyperDHT({ bootstrap, ...options })

function channel (stream, onmessage) {
  const channel = Protomux.from(stream).createChannel({ protocol: 'test' })
  const message = channel.addMessage({ encoding: c.raw, onmessage })
  channel.open()
  stream.on('error', () => {})
  return message
}

const roles = {
  async network () {
    const first = HyperDHT.bootstrapper(49737, '9.9.0.101', { host: '9.9.0.101' })
    await first.fullyBootstrapped()
    for (let i = 102; i <= 112; i++) {
      await open({ host: `9.9.0.${i}`, port: 49737, ephemeral: false, firewalled: false }).fullyBootstrapped()
    }
    say({ ready: true })
  },

  async relay () {
    const keyPair = HyperDHT.keyPair(Buffer.from(word, 'hex'))
    const node = open({ host: '9.9.0.1', port: 49738, ephemeral: false, firewalled: false, keyPair })
    const server = new relay.Server({ createStream: options => node.createRawStream({ ...options, framed: true }) })
    const listener = node.createServer(stream => {
      stream.on('error', () => {})
      server.accept(stream, { id: stream.remotePublicKey }).on('error', () => {})
    })
    await listener.listen(keyPair)
    say({ ready: true, key: keyPair.publicKey.toString('hex') })
  },

  async server () {
    const node = open()
    await node.fullyBootstrapped()
    const server = node.createServer(stream => {
      const message = channel(stream, bytes => message.send(bytes))
    })
    await server.listen(HyperDHT.keyPair(Buffer.from(word, 'hex')))
    say({ ready: true, key: server.publicKey.toString('hex') })
  },

  async client () {
    const node = open()
    await node.fullyBootstrapped()
    const start = Date.now()
    const options = relayKey ? { relayThrough: Buffer.from(relayKey, 'hex') } : {}
    const stream = node.connect(Buffer.from(word, 'hex'), options)
    const message = channel(stream, () => {
      const punched = node._socketPool.lookup(stream.rawStream.socket) !== null
      say({ state: 'open', ms: Date.now() - start, port: stream.rawStream.remotePort, host: stream.rawStream.remoteHost, punched })
    })
    stream.on('open', () => message.send(Buffer.from('hello')))
    stream.on('error', error => say({ state: 'failed', ms: Date.now() - start, name: error.code }))
  }
}

await roles[role]()
