// What the packages' side of a comparison prints: rows of JSON, with the time, CPU and memory of this process.
import { readFile } from 'node:fs/promises'

export const print = object => process.stdout.write(JSON.stringify(object) + '\n')
const rounded = number => Number(number.toPrecision(4))

async function memory () {
  const status = await readFile('/proc/self/status', 'utf8')
  const mb = name => Number(status.match(new RegExp(`${name}:\\s+(\\d+) kB`))[1]) / 1024
  return { made_mb: rounded(mb('RssAnon') + mb('RssShmem')), resident_mb: rounded(mb('VmRSS')), resident_peak_mb: rounded(mb('VmHWM')) }
}

// Times what happens between its making and row().
export class Clock {
  constructor () {
    this.began = process.hrtime.bigint()
    this.cpu = process.cpuUsage()
  }

  async row (what, blocks, bytes) {
    const seconds = Number(process.hrtime.bigint() - this.began) / 1e9
    const { user, system } = process.cpuUsage(this.cpu)
    return {
      ...what,
      blocks,
      seconds: rounded(seconds),
      blocks_per_second: rounded(blocks / seconds),
      mb_per_second: rounded(bytes / seconds / 1e6),
      cpu_us_per_block: rounded((user + system) / blocks),
      ...await memory()
    }
  }
}
