// More greenlets are suspended than the program allows itself.

import { configure } from '../../js/index.ts'
import { parkForever } from '../helpers/park-forever.mjs'

configure({ maxGreenlets: 100 })
parkForever()
