// Peers: how they find the gateway, and what they take.
import type { Board, Finding, Panel } from '../board'
import { bytes, count, plural, rate } from '../format'
import { Empty, Facts, State } from '../ui/parts'

function findings ({ history }: Board): Finding[] {
  const proofs = history.grown(s => s.replication?.false_proofs ?? 0)
  return proofs > 0 ? [{
    level: 'watch',
    text: `${plural(proofs, 'proof')} from peers in the last minute did not hold.`,
    todo: 'Somebody sends what is not true, or a peer’s disk is damaged. Nothing of it was taken; the log names the peer.'
  }] : []
}

function Swarm ({ board: { snapshot: { swarm } } }: { board: Board }) {
  if (!swarm) return <Empty>{'Not in the swarm: peers cannot find its relays by their keys. Set `gateway.swarm = yes` and `swarm.bootstrap`, and restart.'}</Empty>
  const state = !swarm.bootstrapped ? <State level="watch">joining</State> : !swarm.online ? <State level="bad">nothing answers</State>
    : swarm.degraded ? <State level="watch">half of it answers</State> : <State level="ok">found by key</State>
  return <Facts facts={[
    ['Swarm', state],
    ['Nodes known', count(swarm.nodes)],
    ['Peers known', count(swarm.peers)],
    ['Connections', count(swarm.connections)]
  ]} />
}

function View ({ board }: { board: Board }) {
  const { snapshot: { replication }, history } = board
  return (
    <>
      <Swarm board={board} />
      {replication
        ? <Facts facts={[
            ['Streams', count(replication.streams)],
            ['Cores on them', count(replication.channels)],
            ['Sent', <>{plural(replication.blocks_sent, 'block')}<small class="under">{bytes(history.rate(s => s.replication?.bytes_sent ?? 0))}/s, {bytes(replication.bytes_sent)} in all</small></>],
            ['Received', <>{plural(replication.blocks_received, 'block')}<small class="under">{bytes(history.rate(s => s.replication?.bytes_received ?? 0))}/s, {bytes(replication.bytes_received)} in all</small></>],
            ['Blocks sent', `${rate(history.rate(s => s.replication?.blocks_sent ?? 0))}/s`],
            ['Peers that failed', count(replication.peers_failed)],
            ['False proofs', count(replication.false_proofs)]
          ]} />
        : <Empty>{'Nothing is replicated: no relay has a bee. Set `relay.bee = yes` and restart.'}</Empty>}
    </>
  )
}

export const replication: Panel = {
  id: 'replication',
  title: 'Replication',
  reasons: {
    'swarm-joining': { level: 'watch', todo: 'Just after the start this passes. If it stays: are the nodes of `swarm.bootstrap` up, and is UDP let out?' },
    'swarm-offline': { level: 'bad', todo: 'Is the machine’s network up, and is UDP let out? Peers that are connected stay.' },
    'swarm-degraded': { level: 'watch', todo: 'The network loses packets, or many nodes went away at once. It mends itself when they are back.' }
  },
  summary: ({ snapshot: { swarm, replication } }) => !replication && !swarm ? { level: 'off', words: 'off' }
    : { level: 'ok', words: plural(replication?.streams ?? 0, 'stream') },
  findings,
  View
}
