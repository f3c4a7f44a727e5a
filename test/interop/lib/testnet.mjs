// A network of HyperDHT nodes of the npm package on loopback.
import { createSocket } from 'node:dgram'
import HyperDHT from 'hyperdht'

const freePort = () => new Promise(resolve => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1', () => {
    const { port } = socket.address()
    socket.close(() => resolve(port))
  })
})

export class Testnet {
  static async of (count = 4) {
    const net = new Testnet()
    net.nodes = [HyperDHT.bootstrapper(await freePort(), '127.0.0.1', { host: '127.0.0.1' })]
    await net.nodes[0].fullyBootstrapped()
    net.bootstrap = [{ host: '127.0.0.1', port: net.nodes[0].address().port }]
    for (let i = 1; i < count; i++) {
      const node = new HyperDHT({ bootstrap: net.bootstrap, ephemeral: false, firewalled: false, host: '127.0.0.1', port: 0, anyPort: true })
      await node.fullyBootstrapped()
      net.nodes.push(node)
    }
    net.peers = []
    return net
  }

  // As the drivers take them.
  get addresses () {
    return this.bootstrap.map(({ host, port }) => `${host}:${port}`)
  }

  // A peer of the package, as an application has it.
  async peer (options = {}) {
    const peer = new HyperDHT({ bootstrap: this.bootstrap, host: '127.0.0.1', port: 0, anyPort: true, ...options })
    await peer.fullyBootstrapped()
    this.peers.push(peer)
    return peer
  }

  async end () {
    await Promise.all(this.peers.map(peer => peer.destroy({ force: true })))
    await Promise.all(this.nodes.map(node => node.destroy({ force: true })))
  }
}
