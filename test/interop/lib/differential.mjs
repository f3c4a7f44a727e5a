// How random sequences are run: from a seed that is told, so many as SCALE says, or the one of SEED alone.
import assert from 'node:assert/strict'
import { scale } from './core.mjs'

export const sequences = Math.ceil(200 * scale)
export const one = process.env.SEED ? Number(process.env.SEED) : null
export const timeout = 170000 * Math.max(1, scale)

export const title = operations => one === null ? `${sequences} sequences of ${operations} operations do not differ` : `sequence ${one} does not differ`

// Sequence: made of a seed, with run() and counts. isEnough: whether the counts of all are worth something.
export async function runAll (t, Sequence, isEnough) {
  const base = one ?? Date.now() % 1000000 * 1000
  t.diagnostic(`seeds from ${base}`)
  const total = {}
  for (let seed = base; seed < base + (one === null ? sequences : 1); seed++) {
    const sequence = new Sequence(seed)
    try {
      await sequence.run()
    } catch (error) {
      t.diagnostic(`SEED=${seed} differs`)
      throw error
    }
    for (const [name, count] of Object.entries(sequence.counts)) total[name] = (total[name] ?? 0) + count
  }
  t.diagnostic(JSON.stringify(total))
  if (one === null) assert.ok(isEnough(total), JSON.stringify(total))
}
