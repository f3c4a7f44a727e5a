// The relays on members' machines that this gateway knows.
import type { Act, Board, Panel } from '../board'
import { clip, count, moment, plural } from '../format'
import { post } from '../session'
import type { Registration } from '../snapshot'
import { List } from '../ui/list'
import { Empty, Facts, Key, State } from '../ui/parts'

const unregistering = ({ live: { session } }: Board, { relay, path }: Registration): Act => ({
  title: `Unregister /${clip(path)}?`,
  says: [
    `The address /${path} is gone at once, for clients too that are using it now.`,
    'Its workers may register it again: the next time they do, mostly within a minute, it is back. To keep one away take its key out of registration.allow.'
  ],
  confirm: 'Unregister',
  isDangerous: true,
  run: async () => {
    await post(session, 'registry/remove', { relayKey: relay })
    return `/${path} is unregistered.`
  }
})

function View ({ board }: { board: Board }) {
  const { registrations } = board.snapshot
  if (!registrations) return <Empty>{'Relays can be registered when workers may come: set `workers.enabled = yes` and restart.'}</Empty>
  return (
    <>
      <Facts facts={[
        ['Known', count(registrations.count)],
        ['Registered or renewed', count(registrations.merged)],
        ['Refused', count(registrations.refused)],
        ['Kept in', registrations.shared ? <State level={registrations.connected ? 'ok' : 'bad'}>{registrations.connected ? 'Redis' : 'Redis, which is away'}</State> : 'this store']
      ]} />
      <List<Registration> board={board} path="registry/list" field="relays" size={registrations.count} stamp={`${registrations.count} ${registrations.merged}`}
        caption="Registered relays" keyOf={relay => relay.relay} words={relay => `${relay.name} ${relay.path} ${relay.relay} ${relay.owner ?? ''}`}
        columns={[
          { name: 'Relay', cell: relay => <><b>{relay.name || relay.path}</b><small class="under">/{relay.path}</small></> },
          { name: 'Key', cell: relay => <Key value={relay.relay} of={`the key of ${relay.path}`} board={board} /> },
          { name: 'Open to', cell: relay => relay.requires_auth ? 'who has a token' : relay.public ? 'everybody' : 'who knows it' },
          { name: 'Workers', isNumber: true, cell: relay => count(relay.peers) },
          { name: 'Renewed', isNumber: true, cell: relay => moment(relay.updated_at) },
          { name: 'Good until', isNumber: true, cell: relay => relay.expires_at > 0 ? moment(relay.expires_at) : 'removed' },
          { name: 'Act', isPlain: true, cell: relay =>
            <button type="button" class="danger-quiet" aria-label={`Unregister ${relay.path}`}
              onClick={() => board.propose(unregistering(board, relay))}>Unregister…</button> }
        ]}
        empty={<Empty>{'None is registered. A worker does it by itself when it may come: its key stands in `registration.allow`, or it knows `registration.secret`.'}</Empty>} />
    </>
  )
}

export const registrations: Panel = {
  id: 'registrations',
  title: 'Registrations',
  isWide: true,
  reasons: {
    'registrations-offline': { level: 'bad', todo: 'Is the Redis of `registration.redis` up? It is tried again all the time; what is known stays in force.' }
  },
  summary: ({ snapshot: { registrations } }) => registrations ? { level: 'ok', words: plural(registrations.count, 'relay') } : { level: 'off', words: 'off' },
  View
}
