import { facts } from './facts.ts'
import { koa } from './kits.ts'

facts(koa)
