// A greenlet becomes the child of its grandchild.

import { Greenlet } from '../../js/index.ts'

const first = new Greenlet(() => {}, { name: 'first' })
const second = new Greenlet(() => {}, { name: 'second', parent: first })
first.parent = new Greenlet(() => {}, { name: 'third', parent: second })
