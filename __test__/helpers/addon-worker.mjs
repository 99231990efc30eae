// Runs in a Worker: greenlets end in any order inside of the add-on whose file is `workerData`.

import { createRequire } from 'node:module'
import { workerData } from 'node:worker_threads'
import { greenlets } from '../torture/lib/load.mjs'

const { Greenlet } = greenlets
const addon = createRequire(import.meta.url)(workerData)
const all = Array.from({ length: 5 }, () => new Greenlet(() => addon.handleScopes(() => Greenlet.main.switch())))
for (const g of all) g.switch()
for (const g of [2, 4, 0, 3, 1].map((i) => all[i])) if (!g.switch()) throw new Error('the add-on lost a value')
