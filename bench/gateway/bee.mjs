// What a relay's bee costs: the same events published with the bee off and on, paced and as fast as they go.
//   build/bench/gen … > events.jsonl; node bench/gateway/bee.mjs HOLDFAST events.jsonl [events per second, 8000] [seconds, 5]
// Prints one line each: the rate of OKs, CPU of the relay per event, and with the bee how long it was behind the last OK, rows and bytes of
// disk per event, CPU per row, and whether every event that the relay has is in the bee. At the end ours against the gateway in JavaScript, whose
// figures are those of its users' measurements: it is not on npm.
import { Relay, load, publish, sleep } from './lib.mjs'

const [binary, file, rate = '8000', seconds = '5'] = process.argv.slice(2)
if (!file) {
  console.error('usage: bee.mjs HOLDFAST EVENTS.jsonl [events per second] [seconds]')
  process.exit(2)
}

const JAVASCRIPT = { rate: 701, bytes: 129e6, startMs: 12000 } // it checks no signatures; 129 to 190 MB

async function measure (frames, perSecond, isOn) {
  const relay = await Relay.start(binary, isOn ? ['--relay-bee'] : [])
  const before = await relay.cpuUs()
  const { ms, refused } = await publish(relay.url, frames, perSecond)
  const published = performance.now()
  let facts = isOn ? await relay.bee() : null
  for (; facts?.lag_events > 0; facts = await relay.bee()) await sleep(20)
  const behindMs = performance.now() - published
  await sleep(1500) // what is put off is paid, too
  const result = { rate: frames.length / ms * 1000, refused, cpuUs: (await relay.cpuUs() - before) / frames.length, bytes: await relay.diskBytes() / frames.length, memory: await relay.memory(), startMs: relay.startMs }
  if (isOn) {
    const stored = (await relay.stats()).events
    Object.assign(result, { behindMs, stored, inBee: facts.events, puts: facts.puts, batches: facts.batches, busyUs: await relay.metric('holdfast_relay_bee_busy_microseconds_total') })
  }
  await relay.stop()
  return result
}

function print (name, off, on, count) {
  const puts = on.puts / count
  console.log(`${name}\n` +
    `  off  ${off.rate.toFixed(0)} /s, ${off.cpuUs.toFixed(1)} us CPU and ${off.bytes.toFixed(0)} B per event, ${off.refused} refused\n` +
    `  on   ${on.rate.toFixed(0)} /s, ${on.cpuUs.toFixed(1)} us CPU and ${on.bytes.toFixed(0)} B per event, ${on.refused} refused: ${(100 * on.rate / off.rate).toFixed(0)} % of the rate\n` +
    `  bee  ${on.inBee} events of ${on.stored} in it ${on.behindMs.toFixed(0)} ms after the last OK, in ${on.batches} batches\n` +
    `       ${puts.toFixed(1)} puts per event; ${((on.cpuUs - off.cpuUs) / puts).toFixed(1)} us CPU and ${((on.bytes - off.bytes) / puts).toFixed(0)} B per put, ` +
    `${(on.busyUs / on.puts).toFixed(1)} us of it on the loop`)
  return on.inBee === on.stored
}

const frames = await load(file, Number(rate) * Number(seconds))
let sound = true, fastest
for (const [name, perSecond] of [[`${frames.length} events, ${rate} /s`, Number(rate)], [`${frames.length} events, as fast as they go`, 0]]) {
  const off = await measure(frames, perSecond, false)
  fastest = await measure(frames, perSecond, true)
  sound = print(name, off, fastest, frames.length) && sound
}
const paced = await measure(frames.slice(0, JAVASCRIPT.rate * 10), JAVASCRIPT.rate, true)
const mb = ({ own, resident }) => `${(own / 1e6).toFixed(1)} MB made, ${(resident / 1e6).toFixed(1)} MB resident`
console.log(`JavaScript gateway\n  ${(fastest.rate / JAVASCRIPT.rate).toFixed(1)} times its ${JAVASCRIPT.rate} /s (target 10)\n` +
  `  at ${JAVASCRIPT.rate} /s ${mb(paced.memory)}: ${(paced.memory.own / JAVASCRIPT.bytes).toFixed(2)} of its ${JAVASCRIPT.bytes / 1e6} MB (target 0.25); after all at full speed ${mb(fastest.memory)}\n` +
  `  started in ${(paced.startMs / 1000).toFixed(3)} s, it in ${JAVASCRIPT.startMs / 1000} s (target 0.1)`)
process.exit(sound ? 0 : 1)
