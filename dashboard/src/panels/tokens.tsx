// Who may come to relays that ask for a token.
import type { Act, Board, Finding, Panel, Prepared } from '../board'
import { count, moment, plural, short } from '../format'
import { post, postPages, type Session } from '../session'
import type { Token } from '../snapshot'
import { List } from '../ui/list'
import { Empty, Facts, Key, State } from '../ui/parts'

const holder = (token: Token) => token.pubkey ?? token.peer ?? ''

type Holder = { peer: string } | { pubkey: string }
const holderOf = ({ pubkey, peer }: Token): Holder | null => pubkey ? { pubkey } : peer ? { peer } : null

// The relays of which somebody has tokens that are good, a token each time.
async function relaysOf (session: Session, of: Holder): Promise<string[]> {
  const all = await postPages<Token>(session, 'tokens/list', 'tokens')
  return all.filter(token => token.state === 'active' && ('pubkey' in of ? token.pubkey === of.pubkey : token.peer === of.peer)).map(token => token.relay)
}

const several = (relays: string[]) => `${plural(relays.length, 'token')} of ${plural(new Set(relays).size, 'relay')}`

// At relay after relay: what is issued meanwhile is new, and stays.
async function revokeAll (session: Session, of: Holder): Promise<string> {
  let count = 0
  for (const relayKey of new Set(await relaysOf(session, of))) {
    count += (await post<{ revoked: number }>(session, 'tokens/revoke', { relayKey, ...of, reason: 'operator' })).revoked
  }
  return `${plural(count, 'token')} revoked.`
}

export const revokingAll = ({ live: { session } }: Board, peer: string, name: string): Act => ({
  title: `Revoke all tokens of ${name}?`,
  says: [
    'Every token that this worker was given ends at once, at every gateway that shares the state, with the connections that came by one, and its own connection.',
    'It comes back by itself and may ask for new ones. To keep it away take its key out of registration.allow.'
  ],
  confirm: 'Revoke all',
  isDangerous: true,
  prepare: async () => {
    const relays = await relaysOf(session, { peer })
    return { possible: relays.length > 0, says: [relays.length > 0 ? `It has ${several(relays)}.` : 'It has no token that is good now.'] }
  },
  run: () => revokeAll(session, { peer })
})

const revoking = ({ live: { session } }: Board, token: Token): Act => ({
  title: 'Revoke this token?',
  says: [
    `The token ${short(token.id)} of ${holder(token) ? short(holder(token)) : 'its holder'} ends at once, at every gateway that shares the state, and its connections with it.`,
    'A revoked token cannot be made good again; the relay’s worker can issue a new one.'
  ],
  confirm: 'Revoke',
  isDangerous: true,
  prepare: async (): Promise<Prepared> => {
    const of = holderOf(token)
    const relays = of ? await relaysOf(session, of) : []
    return { possible: true, says: [], ...(relays.length > 1 && { more: `All that ${short(holder(token))} has: ${several(relays)}` }) }
  },
  run: async isMore => {
    if (isMore) return await revokeAll(session, holderOf(token)!)
    const { revoked } = await post<{ revoked: number }>(session, 'tokens/revoke', { relayKey: token.relay, tokenId: token.id, reason: 'operator' })
    return `${plural(revoked, 'token')} revoked.`
  }
})

function findings ({ history }: Board): Finding[] {
  const quarantines = history.grown(s => s.tokens?.quarantines ?? 0)
  return quarantines > 0 ? [{
    level: 'watch',
    text: `${plural(quarantines, 'worker')} had to wait in the last minute after refreshes of tokens that failed.`,
    todo: 'Its clock may be wrong, or it uses a token that was revoked: the audit log says which.'
  }] : []
}

function View ({ board }: { board: Board }) {
  const { tokens } = board.snapshot
  if (!tokens) return <Empty>{'No tokens are issued. For relays that only some may read, set `tokens.enabled = yes` and restart.'}</Empty>
  return (
    <>
      <Facts facts={[
        ['Known', count(tokens.known)],
        ['Issued', count(tokens.issued)],
        ['Refreshed', count(tokens.refreshed)],
        ['Revoked', count(tokens.revoked)],
        ['Refused', count(tokens.refused)]
      ]} />
      <List<Token> board={board} path="tokens/list" field="tokens" size={tokens.known} stamp={`${tokens.known} ${tokens.issued} ${tokens.refreshed} ${tokens.revoked}`}
        caption="Tokens" keyOf={token => token.id} words={token => `${token.id} ${token.relay} ${token.peer ?? ''} ${token.pubkey ?? ''} ${token.state} ${token.scope}`}
        columns={[
          { name: 'Token', cell: token => <Key value={token.id} of={`token ${short(token.id)}`} board={board} /> },
          { name: 'State', cell: token => <State level={token.state === 'active' ? 'ok' : 'off'}>{token.state}</State> },
          { name: 'Relay', cell: token => <Key value={token.relay} of="the key of its relay" board={board} /> },
          { name: 'Held by', cell: token => holder(token) ? <Key value={holder(token)} of="the key of its holder" board={board} /> : 'anybody' },
          { name: 'Scope', cell: token => token.scope },
          { name: 'Issued', isNumber: true, cell: token => moment(token.issued_at) },
          { name: 'Good until', isNumber: true, cell: token => moment(token.expires_at) },
          { name: 'Act', isPlain: true, cell: token => token.state === 'active' &&
            <button type="button" class="danger-quiet" aria-label={`Revoke token ${short(token.id)}`}
              onClick={() => board.propose(revoking(board, token))}>Revoke…</button> }
        ]}
        empty={<Empty>{'None is good now. A worker asks for them, for each of its relay’s `token_users`.'}</Empty>} />
    </>
  )
}

export const tokens: Panel = {
  id: 'tokens',
  title: 'Tokens',
  isWide: true,
  summary: ({ snapshot: { tokens } }) => tokens ? { level: 'ok', words: `${count(tokens.known)} known` } : { level: 'off', words: 'off' },
  findings,
  View
}
