/**
 * Runs on each Node with the addon that has our own switch: measures a switch for the number of seconds in its argument, and prints
 * the times as JSON.
 */

import { Greenlet } from '../js/index.ts'
import { measure } from './rig.ts'
import { switching } from './rows/switching.ts'

// The first greenlet connects the thread.
new Greenlet(() => {}).switch()

const row = switching(1)
console.log(JSON.stringify(await measure([{ ...row, name: `own-switch: ${row.name}` }], Number(process.argv[2]))))
