/**
 * What runs on each Node: measures every row, all of them in the number of seconds in its argument, and prints the times as
 * JSON.
 */

import { Greenlet } from '../js/index.ts'
import { measure } from './rig.ts'
import { livingRows } from './rows/living.ts'
import { lookingRows } from './rows/looking.ts'
import { switchingRows } from './rows/switching.ts'

// The first greenlet connects the thread.
new Greenlet(() => {}).switch()

const rows = [...switchingRows(), ...livingRows(), ...lookingRows()]
console.log(JSON.stringify(await measure(rows, Number(process.argv[2]))))
