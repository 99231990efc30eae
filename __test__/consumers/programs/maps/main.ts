import { compare } from './where.js'

console.log(compare() ?? 'ok')
