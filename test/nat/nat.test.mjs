// Peers behind NATs of every kind find a way to each other, ours with ours and ours with the package's. Needs root; see lab.
//
// By default ours dials ours through eight pairs of NATs, and the package's through some. With SCALE set, every one of the package's and ours dials
// every one through every pair of NATs, ROUNDS times (3), and what does not come through dials again with a relay. Where the package reaches itself
// ours must reach it and be reached, as fast. RUNS="port-symmetric:ours-js …" chooses pairs of server's and client's NAT and who is which;
// RELAYED="js-ours-ours …" server, client and relay; UPGRADED as well.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { Script, diallers, listeners, relays } from './peers.mjs'

const lab = new URL('lab', import.meta.url).pathname
const words = (name, otherwise) => (process.env[name] ?? otherwise).split(/\s+/).filter(Boolean)

const isWhole = Boolean(process.env.SCALE)
const rounds = Number(process.env.ROUNDS ?? (isWhole ? 3 : 1))
const kinds = ['none', 'full', 'address', 'port', 'symmetric', 'double']
const shared = ['port', 'symmetric', 'double']
const whos = ['js-js', 'ours-js', 'js-ours', 'ours-ours']
const all = [...kinds.flatMap(server => kinds.map(client => `${server}-${client}`)), ...shared.map(server => `${server}-same`)]
const pairs = 'none-none none-port port-none port-port port-full address-port symmetric-port port-symmetric'.split(' ')
const some = [...pairs.map(pair => `${pair}:ours-ours`), 'port-port:js-ours', 'port-port:ours-js', 'address-port:js-ours', 'symmetric-port:ours-js']
const runs = words('RUNS', (isWhole ? all.flatMap(pair => whos.map(who => `${pair}:${who}`)) : some).join(' '))
const relayed = words('RELAYED', isWhole ? 'ours-ours-ours js-ours-ours ours-js-ours ours-ours-js js-ours-js ours-js-js' : 'ours-ours-ours js-ours-js ours-js-ours')
const upgraded = words('UPGRADED', isWhole ? 'ours-ours-ours js-ours-ours' : 'ours-ours-ours')

let network
const outcomes = []
const isFailed = ({ way }) => way.startsWith('failed')
const median = numbers => numbers.sort((a, b) => a - b)[numbers.length >> 1]
const of = (server, client, names) => outcomes.filter(o => o.server === server && o.client === client && o.names === names)

// Which ways they took, the median and the longest time of those that came through, and how many did not.
function summary (some) {
  const good = some.filter(outcome => !isFailed(outcome))
  const times = good.map(({ ms }) => ms)
  const range = times.length > 1 ? `${median(times)} (${Math.max(...times)})` : `${times}`
  const failed = good.length === some.length ? '' : ` failed ${some.length - good.length}/${some.length}`
  return `${[...new Set(good.map(({ way }) => way))].join('/')} ${range}${failed}`.trim()
}

function printTable () {
  console.log('\nms to connect: median (longest); who is server-client')
  console.log(['server', 'client', ...whos].map((text, i) => text.padEnd(i < 2 ? 10 : 26)).join(''))
  for (const pair of [...new Set(runs.map(run => run.split(':')[0]))]) {
    const [server, client] = pair.split('-')
    console.log([server, client, ...whos.map(names => summary(of(server, client, names)))].map((text, i) => text.padEnd(i < 2 ? 10 : 26)).join(''))
  }
  for (const { server, client, names, way, ms } of outcomes.filter(({ names }) => names.split('-').length > 2)) {
    console.log(server.padEnd(10), client.padEnd(10), `${names} (relay last)`.padEnd(30), way.padEnd(18), ms)
  }
  const count = way => outcomes.filter(outcome => outcome.way.startsWith(way)).length
  console.log(`direct ${count('direct')}, local ${count('local')}, punched ${count('punched')}, relayed ${count('relayed')}, failed ${count('failed')}`)
}

before(async () => {
  execFileSync(lab, ['up'])
  network = new Script('inet', 'network')
  await network.next()
})
after(async () => {
  await network?.end()
  execFileSync(lab, ['down'])
  printTable()
})

async function run (server, client, names, upgrade) {
  const [listens, dials, middle] = names.split('-')
  execFileSync(lab, ['side', 'A', server])
  execFileSync(lab, ['side', 'B', client])
  const relay = middle && await relays[middle]()
  const listener = await listeners[listens]()
  try {
    const { way, ms } = await diallers[dials](listener.key, relay?.key, upgrade)
    outcomes.push({ server, client, names, way, ms })
    if (isWhole) console.log(`${server} ${client} ${names} ${way} ${ms}`)
    if (upgrade && relay.driver) await relay.driver.until('relay_stats', {}, ({ sessions, now }) => sessions === 0 && now === 0, 30000)
    return way
  } finally {
    await listener.end()
    await relay?.end()
  }
}

for (const text of runs) {
  const [pair, names] = text.split(':')
  const [server, client] = pair.split('-')
  test(`server behind ${server}, client behind ${client}, ${names}`, async () => {
    const ways = []
    for (let i = 0; i < rounds; i++) ways.push(await run(server, client, names))
    if (names === 'js-js') return // what ours is held to
    const reference = of(server, client, 'js-js')
    const isReachable = reference.length === 0 ? !isWhole : !reference.every(isFailed)
    const failed = ways.filter(way => /failed/.test(way)).length
    if (isReachable) assert.ok(failed < rounds, ways.join())
    if (failed > 0 && isWhole) assert.equal(await run(server, client, `${names}-ours`), 'relayed')
  })
}

// Two symmetric NATs: only a relay helps. server-client-relay.
for (const names of relayed) {
  test(`both behind symmetric NATs, over a relay, ${names}`, async () => {
    assert.equal(await run('symmetric', 'symmetric', names), 'relayed')
  })
}

for (const names of upgraded) {
  test(`relayed at first, then directly, ${names}`, async () => {
    assert.match(await run('port', 'symmetric', names, true), /relayed/)
  })
}

if (isWhole) {
  // Through random ports it is luck how long it takes; elsewhere the machine may be slow once, and once is enough to see what can be.
  test('ours is as fast as the package', () => {
    for (const [server, client] of all.map(pair => pair.split('-'))) {
      if ([server, client].includes('symmetric')) continue
      const time = names => Math.min(...of(server, client, names).filter(outcome => !isFailed(outcome)).map(({ ms }) => ms))
      const reference = time('js-js')
      for (const names of whos.slice(1)) {
        if (reference < Infinity) assert.ok(time(names) <= reference * 1.5 + 250, `${server}-${client} ${names}: ${time(names)} ms, ${reference} ms`)
      }
    }
  })
}
