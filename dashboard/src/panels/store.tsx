// The disk: what is taken, what is left, and whether writing works.
import type { Board, Finding, Level, Panel } from '../board'
import { bytes, count, rate, share } from '../format'
import { Facts, Meter, State } from '../ui/parts'

const QUOTA_WATCH = 0.9
const FREE_WATCH_BYTES = 1024 ** 3
const COMPACT_LOG_BYTES = 256 * 1024 ** 2
const COMPACT_LIVE = 0.4

const makeRoom = 'Delete what may go and run `holdfast store compact`, give it more disk, or raise `store.quota` and restart.'

function findings ({ snapshot: { store } }: Board): Finding[] {
  const found: Finding[] = []
  const used = store.quota_bytes > 0 ? store.disk_bytes / store.quota_bytes : 0
  if (store.status === 'ok' && used >= QUOTA_WATCH) {
    found.push({ level: 'watch', text: `The store has taken ${share(used)} of its quota; when it is full, publishing is refused.`, todo: makeRoom })
  }
  if (store.status === 'ok' && store.free_bytes < FREE_WATCH_BYTES) {
    found.push({ level: 'watch', text: `The disk has ${bytes(store.free_bytes)} left.`, todo: makeRoom })
  }
  if (store.log_bytes > COMPACT_LOG_BYTES && store.log_live_bytes < store.log_bytes * COMPACT_LIVE) {
    found.push({
      level: 'watch',
      text: `Only ${share(store.log_live_bytes / store.log_bytes)} of the log is still in use; the rest was deleted and not yet collected.`,
      todo: 'It is collected by itself in time; `holdfast store compact` does it now.'
    })
  }
  return found
}

const states: Record<string, [Level, string]> = { ok: ['ok', 'writes'], full: ['bad', 'full'], failing: ['bad', 'writing fails'] }

function View ({ board: { snapshot: { store }, history } }: { board: Board }) {
  const of = store.quota_bytes > 0 ? store.quota_bytes : store.disk_bytes + store.free_bytes
  const used = of > 0 ? store.disk_bytes / of : 0
  const [level, words] = states[store.status] ?? ['watch', store.status]
  const whole = store.quota_bytes > 0 ? `of the quota of ${bytes(of)}` : `of ${bytes(of)} there is; no quota is set`
  return (
    <>
      <p class="statement"><b>{bytes(store.disk_bytes)}</b> taken, {share(used)} {whole}</p>
      <Meter part={used} level={level === 'bad' ? 'bad' : used >= QUOTA_WATCH ? 'watch' : 'ok'} label={`${share(used)} taken`} />
      <Facts facts={[
        ['State', <State level={level}>{words}</State>],
        ['Free on the disk', bytes(store.free_bytes)],
        ['Events', count(store.events)],
        ['Log', `${bytes(store.log_bytes)}${store.log_bytes > 0 ? `, ${share(store.log_live_bytes / store.log_bytes)} in use` : ''}`],
        ['Indexes', bytes(store.index_bytes)],
        ['Commits', `${rate(history.rate(s => s.store.commits))}/s`],
        ['Syncs', `${rate(history.rate(s => s.store.syncs))}/s`],
        ['Damaged records', count(store.corrupt)]
      ]} />
    </>
  )
}

export const store: Panel = {
  id: 'store',
  title: 'Store',
  reasons: {
    'store-full': { level: 'bad', todo: makeRoom },
    'store-failing': { level: 'bad', todo: 'Look at the log, at `dmesg` and `smartctl -a`. Nothing that was answered OK is lost.' },
    'store-corrupt': { level: 'bad', todo: '`holdfast store verify` names each; indexes make themselves anew, records come from a backup.' }
  },
  summary: ({ snapshot: { store } }) => ({ level: 'ok', words: bytes(store.disk_bytes) }),
  findings,
  View
}
