/**
 * Runs on each Node: measures every row, all of them in the number of seconds in its argument, and prints the times as JSON.
 */

import { Greenlet } from '../js/index.ts'
import { measure } from './rig.ts'
import { lifetimeRows } from './rows/lifetime.ts'
import { readingRows } from './rows/reading.ts'
import { switchingRows } from './rows/switching.ts'

// The first greenlet connects the thread.
new Greenlet(() => {}).switch()

const rows = [...switchingRows(), ...lifetimeRows(), ...readingRows()]
console.log(JSON.stringify(await measure(rows, Number(process.argv[2]))))
