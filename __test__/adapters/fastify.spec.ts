import { facts } from './facts.ts'
import { fastify } from './kits.ts'

facts(fastify)
