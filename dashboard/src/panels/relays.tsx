// The gateway's own relays, and the bees that peers follow them by.
import type { Act, Board, Panel } from '../board'
import { count, plural, rate, span } from '../format'
import { post } from '../session'
import type { Relay } from '../snapshot'
import { Empty, Key, Prose, State } from '../ui/parts'
import { Table } from '../ui/table'

const BEHIND_MS = 10000

function pausing (board: Board, { name }: Relay, isPaused: boolean): Act {
  const set = async (verb: 'pause' | 'resume') => {
    await post(board.live.session, `relay/${verb}`, { relay: name })
    return verb === 'pause' ? `The bee of ${name} is paused.` : `The bee of ${name} is given to peers again.`
  }
  return isPaused
    ? {
        title: `Resume replication of ${name}?`,
        says: ['Peers get the bee again and catch up with what was published meanwhile.'],
        confirm: 'Resume',
        run: () => set('resume'),
        undo: () => set('pause')
      }
    : {
        title: `Pause replication of ${name}?`,
        says: [
          `The bee of ${name} is given to no peer until it is resumed. Workers and mirrors that follow it fall behind, and catch up afterwards.`,
          'Clients notice nothing: publishing and reading go on. /health says bee-paused.'
        ],
        confirm: 'Pause',
        run: () => set('pause'),
        undo: () => set('resume')
      }
}

const rebuilding = ({ live: { session } }: Board, { name }: Relay): Act => ({
  title: `Rebuild the bee of ${name}?`,
  says: [
    'Do it when the bee does not catch up, when the log says that it failed, or when readers see what the relay has not. It is made anew from the relay’s events, while clients are served as ever.',
    'Its key stays. It begins on a new fork, which peers follow by themselves; they see it shorter until it is done. Pause it first if they should rather wait.',
    'It cannot be called back.'
  ],
  confirm: 'Rebuild',
  isDangerous: true,
  run: async () => {
    await post(session, 'relay/rebuild-bee', { relay: name })
    return `The bee of ${name} is being rebuilt.`
  }
})

function BeeState ({ relay: { bee } }: { relay: Relay }) {
  if (!bee) return <State level="off">no bee</State>
  if (bee.paused) return <State level="watch">paused</State>
  if (bee.lag_ms > BEHIND_MS) return <State level="watch">behind</State>
  return <State level="ok">current</State>
}

function View ({ board }: { board: Board }) {
  const { snapshot, history } = board
  const storing = (name: string) => history.rate(s => s.relays.find(relay => relay.name === name)?.stored ?? 0)
  if (snapshot.relays.length === 0) return <Empty>{'No relay of its own. Each is a section of the configuration: `[relay NAME]`'}</Empty>
  return (
    <>
      <Table caption="Relays of this gateway and their bees" rows={snapshot.relays} keyOf={relay => relay.name}
        columns={[
          { name: 'Relay', cell: relay => <><b>{relay.title || relay.name}</b><small class="under">{relay.path} · {relay.policy}</small></> },
          { name: 'Clients', isNumber: true, cell: relay => <>{count(relay.connections)}<small class="under">{plural(relay.subscriptions, 'subscription')}</small></> },
          { name: 'Stored', isNumber: true, cell: relay => <>{count(relay.stored)}<small class="under">{rate(storing(relay.name))}/s</small></> },
          { name: 'Bee', cell: ({ bee, name }) => bee ? <><Key value={bee.key} of={`the key of the bee of ${name}`} board={board} />
            <small class="under">version {count(bee.version)}{bee.fork > 0 && `, fork ${bee.fork}`}</small></> : '–' },
          { name: 'Behind', isNumber: true, cell: ({ bee }) => bee ? bee.lag_events === 0 ? 'nothing' : `${plural(bee.lag_events, 'event')}, ${span(bee.lag_ms)}` : '–' },
          { name: 'Peers', isNumber: true, cell: ({ bee }) => bee ? count(bee.peers) : '–' },
          { name: 'State', cell: relay => <BeeState relay={relay} /> },
          { name: 'Act', isPlain: true, cell: relay => relay.bee && <span class="acts">
            <button type="button" onClick={() => board.propose(pausing(board, relay, relay.bee!.paused))}
              aria-label={`${relay.bee.paused ? 'Resume' : 'Pause'} replication of ${relay.name}`}>{relay.bee.paused ? 'Resume…' : 'Pause…'}</button>
            <button type="button" class="danger-quiet" onClick={() => board.propose(rebuilding(board, relay))} aria-label={`Rebuild the bee of ${relay.name}`}>Rebuild…</button>
          </span> }
        ]} />
      <details>
        <summary>Rebuild an index</summary>
        <p><Prose>{'A relay’s index is checked after each start, and made anew by itself when it is damaged. When clients do not find what `holdfast relay export` has, make it anew on the gateway’s machine, which may go on running:'}</Prose></p>
        <p><Prose>{'`holdfast relay rebuild --data DIR --relay NAME`'}</Prose></p>
        <p>It reads the whole log and keeps administration busy until it is done, so it is not offered from here.</p>
      </details>
      {snapshot.relays.every(relay => !relay.bee) && <Empty>{'With a bee a relay can be followed by peers: set `relay.bee = yes` and restart.'}</Empty>}
    </>
  )
}

export const relays: Panel = {
  id: 'relays',
  title: 'Relays',
  isWide: true,
  reasons: {
    'bee-behind': { level: 'watch', todo: 'Publishing is faster than the bee is written, or the disk is slow. If it stays: is the disk busy with something else?' },
    'bee-paused': { level: 'watch', todo: 'Resume it when what it was paused for is over: the button is in its row.' }
  },
  summary: ({ snapshot: { relays } }) => relays.length === 0 ? { level: 'off', words: 'none' }
    : { level: 'ok', words: plural(relays.reduce((sum, relay) => sum + (relay.bee?.peers ?? 0), 0), 'peer') },
  View
}
