// One storm: SEED=… EVENTS=… node run.mjs; ./storm runs it in namespaces where it can.
import { schedule } from './lib/schedule.mjs'
import { median } from './lib/ledger.mjs'
import { Storm } from './lib/storm.mjs'
import { can } from './lib/world.mjs'

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
const count = Number(process.env.EVENTS ?? 30)
const storm = new Storm(64 + Math.ceil(count / 2))
const began = performance.now()
console.log(`SEED=${seed} EVENTS=${count}`)
for (const [what, is] of Object.entries(can)) if (!is) console.log(`This machine cannot do faults that need a ${what}; workers are frozen instead.`)
let acked = {}
const settled = []
try {
  await storm.start()
  console.log(`calm after ${((performance.now() - began) / 1000).toFixed(1)} s`)
  for (const wave of schedule(seed, count, can)) settled.push(await storm.wave(wave))
  acked = await storm.judge()
} catch (error) {
  storm.ledger.violate(`the storm itself failed: ${error.stack}`)
}
const { violations, deliveries, refusals, sent, beacons } = storm.ledger
settled.sort((a, b) => a - b)
console.log(storm.ledger.table())
console.log(`From the end of a wave until all subscriptions got a new event: median ${median(settled).toFixed(0)} ms, max ${(settled.at(-1) ?? 0).toFixed(0)} ms`)
console.log(`Published ${sent.size - beacons}, acknowledged ${Object.entries(acked).map(([relay, ids]) => `${relay} ${ids.length}`).join(', ')}; ` +
  `${deliveries} deliveries; the bee's follower has ${storm.bee?.count}; refusals and other answers:`)
for (const [reason, times] of [...refusals].sort((a, b) => b[1] - a[1]).slice(0, 12)) console.log(`  ${String(times).padStart(6)}  ${reason}`)
const keeps = violations.length > 0 && process.env.KEEP === '1'
await storm.end(keeps).catch(error => storm.ledger.violate(`the end failed: ${error.stack}`))
console.log(`${violations.length} violations in ${((performance.now() - began) / 1000).toFixed(0)} s`)
if (violations.length > 0) console.log(`Again: SEED=${seed} EVENTS=${count} test/chaos/storm`)
process.exit(violations.length > 0 ? 1 : 0)
