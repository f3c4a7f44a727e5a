// What befalls whom, when and for how long: all of it follows from the seed, and from which kinds of faults this machine can make.

// mulberry32, by its published recurrence.
export class Random {
  constructor (seed) { this.state = seed >>> 0 }

  next () {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let x = this.state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }

  between (low, high) { return low + Math.floor(this.next() * (high - low + 1)) }
  pick (list) { return list[Math.floor(this.next() * list.length)] }
}

// busier: the one of the shared relay's two workers that serves more subscriptions when it comes to it.
const workers = ['busier', 'busier', 'other', 'three'], gateways = ['first', 'second']
const shifts = [-3600, -90, 90, 3600]

// How often in proportion, to whom, for how many milliseconds, which variants, and what the machine must be able to do.
export const kinds = {
  'worker killed': { weight: 8, of: workers, ms: [300, 4000] },
  'worker restarted': { weight: 2, of: workers, ms: [0, 1000] },
  'worker frozen': { weight: 3, of: workers, ms: [500, 7000] },
  'worker slowed': { weight: 3, of: workers, ms: [2000, 5000] },
  'worker partitioned': { weight: 4, of: workers, ms: [1000, 7000], variants: ['both ways', 'outwards', 'inwards'], needs: 'network' },
  'worker clock shifted': { weight: 2, of: workers, ms: [2500, 5000], variants: shifts, needs: 'clock' },
  'worker store full': { weight: 2, of: workers, ms: [1000, 4000], needs: 'mount' },
  'gateway killed': { weight: 3, of: gateways, ms: [200, 2000] },
  'gateway drained': { weight: 2, of: gateways, ms: [0, 1000] },
  'gateway frozen': { weight: 1, of: gateways, ms: [500, 4000] },
  'gateway clock shifted': { weight: 1, of: gateways, ms: [2500, 5000], variants: shifts, needs: 'clock' },
  'gateway store full': { weight: 1, of: gateways, ms: [1000, 4000], needs: 'mount' },
  'redis killed': { weight: 2, of: ['redis'], ms: [500, 5000] },
  'redis frozen': { weight: 1, of: ['redis'], ms: [500, 5000] }
}

// The variant of a clock or a partition is drawn in any case, so that a machine that can do less still has the others where they were.
function draw (random, can) {
  const names = Object.keys(kinds)
  let at = random.next() * names.reduce((sum, name) => sum + kinds[name].weight, 0)
  const kind = names.find(name => (at -= kinds[name].weight) < 0)
  const { of, ms, variants = [null], needs } = kinds[kind]
  const fault = { kind, target: random.pick(of), ms: random.between(...ms), variant: random.pick(variants) }
  return !needs || can[needs] ? fault : { ...fault, kind: 'worker frozen', target: workers[fault.ms % workers.length], variant: `for want of a ${needs}` }
}

// Waves of one fault or two that overlap, each at another target; a wave ends before the next one begins.
export function schedule (seed, count, can) {
  const random = new Random(seed), waves = []
  for (let number = 1; number <= count;) {
    const wave = []
    const width = Math.min(random.next() < 0.35 ? 2 : 1, count - number + 1)
    while (wave.length < width) {
      const fault = draw(random, can)
      if (!wave.some(other => other.target === fault.target)) wave.push({ number: number++, delay: wave.length ? random.between(100, 1500) : 0, ...fault })
    }
    waves.push(wave)
  }
  return waves
}
