// All panels, in the order of the page. Another one is a file beside this and a line here; docs/dashboard.md says how.
import type { Panel } from '../board'
import { audit } from './audit'
import { dispatcher } from './dispatcher'
import { gateway } from './gateway'
import { refusals } from './refusals'
import { registrations } from './registrations'
import { relays } from './relays'
import { replication } from './replication'
import { store } from './store'
import { tokens } from './tokens'
import { traffic } from './traffic'
import { workers } from './workers'

export const panels: Panel[] = [
  traffic, relays, workers, dispatcher, refusals, store, replication, registrations, tokens, audit, gateway
]
