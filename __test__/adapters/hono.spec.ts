import { facts } from './facts.ts'
import { hono } from './kits.ts'

facts(hono)
