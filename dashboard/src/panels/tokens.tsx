// Who may come to relays that ask for a token.
import type { Act, Board, Finding, Panel } from '../board'
import { count, moment, plural, short } from '../format'
import { post } from '../session'
import type { Token } from '../snapshot'
import { List } from '../ui/list'
import { Empty, Facts, Key, State } from '../ui/parts'

const holder = (token: Token) => token.pubkey ?? token.peer ?? ''

const revoking = ({ live: { session } }: Board, token: Token): Act => ({
  title: 'Revoke this token?',
  says: [
    `The token ${short(token.id)} of ${holder(token) ? short(holder(token)) : 'its holder'} ends at once, at every gateway that shares the state, and its connections with it.`,
    'A revoked token cannot be made good again; the relay’s worker can issue a new one.'
  ],
  confirm: 'Revoke',
  isDangerous: true,
  run: async () => {
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
