// What the gateway tells once a second, as docs/administration.md has it. null stands for what is off.

export type Counts = Record<string, number>

export interface Bee {
  key: string
  version: number
  fork: number
  events: number
  bytes: number
  lag_events: number
  lag_ms: number
  peers: number
  paused: boolean
}

export interface Relay {
  name: string
  title: string
  key: string
  path: string
  url: string
  policy: string
  connections: number
  subscriptions: number
  in_flight: number
  stored: number
  duplicates: number
  ephemeral: number
  refused: number
  refusals: Counts
  delivered: number
  queries: number
  bee: Bee | null
}

export interface Telemetry {
  latency_ms: number
  in_flight: number
  queue: number
  failure_rate: number
  lag_blocks: number
  hits: number
  misses: number
  errors: number
  reported_at: number
}

export interface Dispatch {
  breaker: string
  rests_ms: number
  score: number
  p50_us: number
  p95_us: number
  in_flight: number
  sessions: number
  failure_permille: number
  lag_blocks: number
  assigned: number
  failed: number
  drained: boolean
}

export interface Worker {
  peer: string
  hypertuna: boolean
  healthy: boolean
  connected_at: number
  streams: number
  relays: string[]
  telemetry: Telemetry | null
  dispatch: Dispatch | null
}

export interface Reason {
  name: string
  why: string
}

export interface Snapshot {
  at: number
  version: string
  up_ms: number
  draining: boolean
  health: { status: string, live: boolean, ready: boolean, reasons: Reason[] }
  process: { memory_bytes: number, cpu_ms: number, connections_memory_bytes: number, connections_memory_max_bytes: number }
  store: {
    disk_bytes: number
    quota_bytes: number
    free_bytes: number
    events: number
    log_bytes: number
    log_live_bytes: number
    index_bytes: number
    commits: number
    syncs: number
    corrupt: number
    status: string
  }
  traffic: {
    sockets: number
    websockets: number
    sockets_accepted: number
    bytes_received: number
    bytes_sent: number
    http_requests: number
    events_in: number
    events_stored: number
    delivered: number
    queries: number
  }
  refusals: Counts
  sockets_refused: Counts
  relays: Relay[]
  workers: Worker[]
  dispatcher: {
    jobs: {
      in_flight: number
      waiting: number
      assigned: number
      done: number
      failed: number
      abandoned: number
      refused: Counts
      reassigned: Counts
    }
    sessions: {
      open: number
      subscriptions: number
      requests: number
      moved: number
      repeated: number
      delivered: number
      published: number
    }
  } | null
  registrations: { count: number, merged: number, refused: number, shared: boolean, connected: boolean } | null
  tokens: { known: number, issued: number, refreshed: number, revoked: number, refused: number, quarantines: number } | null
  swarm: { online: boolean, bootstrapped: boolean, degraded: boolean, nodes: number, peers: number, connections: number } | null
  replication: {
    streams: number
    channels: number
    blocks_sent: number
    bytes_sent: number
    blocks_received: number
    bytes_received: number
    false_proofs: number
    peers_failed: number
  } | null
  audit: { records: number, lost: number } | null
  administration: { streams: number, refused: number }
}

export interface AuditRecord {
  at: number
  seq: number
  kind: string
  previous: string
  fields: Record<string, unknown>
}

export interface Registration {
  relay: string
  path: string
  name: string
  public: boolean
  requires_auth: boolean
  peers: number
  principal: string
  owner?: string
  updated_at: number
  expires_at: number
}

export interface Token {
  relay: string
  state: string
  scope: string
  sequence: number
  issued_at: number
  expires_at: number
  id: string
  peer?: string
  pubkey?: string
}
