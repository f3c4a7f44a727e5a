// Who did what, newest first.
import { useState } from 'preact/hooks'
import type { Board, Finding, Panel } from '../board'
import { count, moment, plural, short } from '../format'
import type { AuditRecord } from '../snapshot'
import { Empty, Prose } from '../ui/parts'
import { Table } from '../ui/table'

const SHOWN_FIRST = 8

const sentences: Record<string, string> = {
  'admin.pause': 'Paused replication',
  'admin.resume': 'Resumed replication',
  'admin.reload': 'Reloaded the configuration',
  'admin.reload-refused': 'Tried to reload a configuration that is not in order',
  'admin.drain': 'Told the gateway to end',
  'admin.rebuild-bee': 'Began to make a bee anew',
  'admin.refused': 'Sign-ins to administration refused',
  'operator.revoked': 'Revoked tokens',
  'operator.removed': 'Unregistered a relay',
  'registration.merged': 'Registered a relay',
  'registration.refused': 'A registration was refused',
  'removal.refused': 'Taking a relay back was refused',
  'issue.refused': 'Issuing a token was refused',
  'refresh.refused': 'Refreshing a token was refused',
  'revocation.refused': 'Revoking a token was refused',
  'publish.refused': 'Events were refused',
  'replication.failed': 'Replication with a peer failed',
  'registration.removed': 'A worker took its relay back',
  'token.issued': 'Issued a token',
  'token.refreshed': 'Refreshed a token',
  'token.revoked': 'Revoked a token'
}

// One value as text, keys shortened.
function valueText (value: unknown): string {
  if (typeof value === 'string') return value.replace(/\b([0-9a-f]{32,}|npub1\w{20,})\b/g, short)
  if (Array.isArray(value)) return value.map(valueText).join(', ')
  if (value !== null && typeof value === 'object') return Object.entries(value).map(([name, inner]) => `${name} ${valueText(inner)}`).join(', ')
  return String(value)
}

const Fields = ({ record }: { record: AuditRecord }) =>
  <span class="fields">{Object.entries(record.fields).filter(([name]) => name !== 'by').map(([name, value]) =>
    <span key={name}><i>{name}</i> {valueText(value)}</span>)}</span>

function findings ({ snapshot: { audit } }: Board): Finding[] {
  return audit && audit.lost > 0 ? [{
    level: 'watch',
    text: `${plural(audit.lost, 'record')} of the audit log could not be written since the start.`,
    todo: 'More happened at once than could be queued, or the disk fails: look at Store. The log itself says where the gap is.'
  }] : []
}

function View ({ board: { live, snapshot } }: { board: Board }) {
  const [isLong, setLong] = useState(false)
  if (!snapshot.audit) return <Empty>{'Nothing is audited here.'}</Empty>
  if (live.audit.length === 0) return <Empty>{'Nothing was done yet. What operators, workers and members do is written here, and kept: `holdfast audit export`'}</Empty>
  return (
    <>
      <Table caption="Audit log, newest first" rows={live.audit.slice(0, isLong ? undefined : SHOWN_FIRST)} keyOf={record => record.seq}
        columns={[
          { name: 'What', cell: record => <>{sentences[record.kind] ?? record.kind}<small class="under">{record.kind}</small></> },
          { name: 'By', cell: ({ fields }) => typeof fields.by === 'string' ? valueText(fields.by) : <span class="quiet">–</span> },
          { name: 'About', cell: record => <Fields record={record} /> },
          { name: 'When', isNumber: true, cell: record => <time dateTime={new Date(record.at).toISOString()}>{moment(record.at)}</time> },
          { name: 'Record', isNumber: true, cell: record => count(record.seq) }
        ]} />
      {live.audit.length > SHOWN_FIRST && <button type="button" onClick={() => setLong(!isLong)}>{isLong ? 'Show fewer' : `Show ${count(live.audit.length)}`}</button>}
      <p class="quiet"><Prose>{'The whole of it: `holdfast audit export` Whether something is missing: `holdfast audit verify`'}</Prose></p>
    </>
  )
}

export const audit: Panel = {
  id: 'audit',
  title: 'Audit',
  isWide: true,
  summary: ({ snapshot: { audit } }) => audit ? { level: 'ok', words: plural(audit.records, 'record') } : { level: 'off', words: 'off' },
  findings,
  View
}
