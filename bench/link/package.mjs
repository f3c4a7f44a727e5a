// A UDX stream of npm udx-native across the link. Usage: package.mjs send|receive --bind IP:PORT --remote IP:PORT --id N --remote-id M [--seconds S]
// Prints at the end what build/bench/udx prints: {bytes, seconds, rate, cpu_s}.
import UDX from 'udx-native'

const [mode, ...rest] = process.argv.slice(2)
const options = {}
for (let i = 0; i < rest.length; i += 2) options[rest[i].slice(2)] = rest[i + 1]
const [host, port] = options.bind.split(':')
const [remoteHost, remotePort] = options.remote.split(':')
const udx = new UDX()
const socket = udx.createSocket()
socket.bind(Number(port), host)
const stream = udx.createStream(Number(options.id))
stream.connect(socket, Number(options['remote-id']), Number(remotePort), remoteHost)
stream.on('error', error => { console.error(error.message); process.exit(1) })
let bytes = 0
let began = null
const cpu = process.cpuUsage()

function finish () {
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  const { user, system } = process.cpuUsage(cpu)
  console.log(JSON.stringify({ bytes, seconds, rate: bytes / seconds, cpu_s: (user + system) / 1e6 }))
  process.exit(0)
}

if (mode === 'receive') {
  stream.on('data', data => { began ??= process.hrtime.bigint(); bytes += data.length })
  stream.on('end', () => { stream.end(); finish() })
} else {
  began = process.hrtime.bigint()
  const until = Date.now() + Number(options.seconds) * 1000
  const piece = Buffer.alloc(65536, 7)
  const more = () => {
    while (Date.now() < until) {
      bytes += piece.length
      if (!stream.write(piece)) return stream.once('drain', more)
    }
    stream.end()
    // What is still on its way counts at the receiver; a sender whose last packets are lost needs not be waited for.
    setTimeout(finish, 20000).unref()
    stream.on('close', finish)
  }
  more()
}
