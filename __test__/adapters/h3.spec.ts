import { facts } from './facts.ts'
import { h3 } from './kits.ts'

facts(h3)
