// The process itself, its configuration, and its end.
import type { Act, Board, Finding, Panel } from '../board'
import { bytes, count, share, span } from '../format'
import { post } from '../session'
import { Facts, Meter } from '../ui/parts'

const MEMORY_WATCH = 0.85

function reloading ({ live: { session } }: Board): Act {
  return {
    title: 'Reload the configuration?',
    says: ['The file is read again. Settings that can change while the gateway runs do; connections stay.'],
    confirm: 'Reload',
    prepare: async () => {
      const { needs_restart: waiting } = await post<{ needs_restart: string[] }>(session, 'check')
      return {
        possible: true,
        says: waiting.length === 0
          ? ['Checked: the file is in order, and nothing in it needs a restart.']
          : [`Checked: the file is in order. Only a restart puts these in force: ${waiting.join(', ')}.`]
      }
    },
    run: async () => {
      await post(session, 'reload')
      return 'The configuration is reloaded.'
    }
  }
}

function draining ({ live: { session }, snapshot }: Board): Act {
  return {
    title: 'Drain and end the gateway?',
    says: [
      `No new connections are taken; ${count(snapshot.traffic.websockets)} clients get their answers and are sent away; then the process ends.`,
      'It cannot be called back. Who started it (systemd, holdfast up) may start it again by itself.'
    ],
    confirm: 'Drain and end',
    isDangerous: true,
    run: async () => {
      await post(session, 'drain')
      return 'The gateway is ending.'
    }
  }
}

function findings ({ snapshot: { process, draining, health } }: Board): Finding[] {
  const used = process.connections_memory_max_bytes > 0 ? process.connections_memory_bytes / process.connections_memory_max_bytes : 0
  const found: Finding[] = used >= MEMORY_WATCH ? [{
    level: 'watch',
    text: `All connections together hold ${share(used)} of gateway.memory_max; those that hold most are sent away.`,
    todo: 'Greedy clients, or the bound is low for so many: raise gateway.memory_max when the machine has twice that.'
  }] : []
  if (draining && !health.reasons.some(({ name }) => name === 'draining')) found.push({ level: 'bad', text: 'The gateway is ending.', todo: ending })
  return found
}

const ending = 'Clients are being sent away. Start it again when that is over, if nothing does it by itself.'

function View ({ board }: { board: Board }) {
  const { snapshot: { process, version, up_ms, at, administration }, history } = board
  const max = process.connections_memory_max_bytes
  const used = max > 0 ? process.connections_memory_bytes / max : 0
  return (
    <>
      <Facts facts={[
        ['Version', version],
        ['Up', span(up_ms)],
        ['Since', new Date(at - up_ms).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' })],
        ['Memory', bytes(process.memory_bytes)],
        ['Processor', share(history.rate(s => s.process.cpu_ms) / 1000)],
        ['Held by connections', `${bytes(process.connections_memory_bytes)}${max > 0 ? ` of ${bytes(max)}` : ''}`],
        ['Dashboards open', count(administration.streams)],
        ['Sign-ins refused', count(administration.refused)]
      ]} />
      <Meter part={used} level={used >= MEMORY_WATCH ? 'watch' : 'ok'} label={`Connections hold ${share(used)} of gateway.memory_max`} />
      <div class="buttons">
        <button type="button" onClick={() => board.propose(reloading(board))}>Reload configuration…</button>
        <button type="button" class="danger-quiet" onClick={() => board.propose(draining(board))}>Drain and end…</button>
      </div>
    </>
  )
}

export const gateway: Panel = {
  id: 'gateway',
  title: 'This gateway',
  isWide: true,
  reasons: { draining: { level: 'bad', todo: ending } },
  summary: ({ snapshot }) => ({ level: 'ok', words: `up ${span(snapshot.up_ms)}` }),
  findings,
  View
}
