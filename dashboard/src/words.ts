// What the gateway's names of reasons mean to people, and what to do. Every one that it has is here: a test looks.

export const eventRefusals: Record<string, string> = {
  invalid: 'not a valid event',
  blocked: 'the author or kind is not wanted',
  duplicate: 'it was here already',
  restricted: 'the author may not publish here',
  'auth-required': 'the client has to sign in first',
  'rate-limited': 'too much at once',
  unsupported: 'the relay does not do that',
  error: 'no fault of the publisher’s'
}

export const connectionRefusals: Record<string, [why: string, todo: string]> = {
  full: ['every place was taken', 'Raise `gateway.connections_max`, with `LimitNOFILE` above it.'],
  address: ['one address had too many', 'Somebody opens many at once. If those are many people behind one address, raise `gateway.connections_per_address_max`.'],
  memory: ['all together held too much memory', 'Look for greedy clients, or raise `gateway.memory_max`.'],
  accept: ['the system would not take them', 'The process is probably out of descriptors: raise `LimitNOFILE`.']
}

export const jobRefusals: Record<string, [why: string, todo: string]> = {
  'no-peers': ['no worker has the relay', 'Is its worker running? The list of workers says who is here.'],
  'peers-broken': ['all that have it rest after failures', 'Look at those workers; they are tried again by themselves.'],
  'peers-saturated': ['all that have it are at their bound', 'Another worker with the same relay helps, or a higher `dispatcher.in_flight_max`.'],
  'flow-saturated': ['they do not take more for now', 'Their link is slow, or one of them hangs.'],
  expired: ['waited too long in the queue', 'There is more to do than the workers manage: add one.']
}

export const jobMoves: Record<string, string> = {
  gone: 'the worker went',
  revoked: 'the worker was turned away',
  overdue: 'it took too long',
  'breaker-opened': 'the worker failed too often',
  behind: 'its copy was behind',
  drained: 'it was to get no more'
}
