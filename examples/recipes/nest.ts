// NestJS: a method of a controller that waits. Nest awaits pipes and guards before it calls the method, so the method is made
// `blocking`. The decorator must be the innermost one, because Nest keeps what it knows on the function.

import 'reflect-metadata'
import { setTimeout } from 'node:timers/promises'
import { Controller, Get, Module, Param, ParseIntPipe } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { blocking, wait } from '../../js/index.ts'

const price = (id: number): number => wait(setTimeout(5, id * 10))

/** A decorator of methods. */
function Blocking(_class: object, _key: string, descriptor: PropertyDescriptor): void {
  descriptor.value = blocking(descriptor.value)
}

class Orders {
  find(id: number): { id: number; total: number } {
    return { id, total: [1, 2, 3].reduce((sum, n) => sum + price(id + n), 0) }
  }
}

class App {}

// What `@Controller('orders')`, `@Get(':id') @Blocking` and so on do. This file runs without a compiler, so it calls them.
function decorate(decorators: readonly MethodDecorator[], target: object, key: string): void {
  const descriptor = Object.getOwnPropertyDescriptor(target, key)!
  for (const decorator of decorators.toReversed()) decorator(target, key, descriptor)
  Object.defineProperty(target, key, descriptor)
}
decorate([Get(':id'), Blocking as MethodDecorator], Orders.prototype, 'find')
Param('id', ParseIntPipe)(Orders.prototype, 'find', 0)
Controller('orders')(Orders)
Module({ controllers: [Orders] })(App)

const app = await NestFactory.create(App, { logger: false })
await app.listen(0, '127.0.0.1')
const url = await app.getUrl()
const answers = ['7', '8', 'x'].map(async (id) => (await fetch(`${url}/orders/${id}`)).json())
for (const { total, message } of (await Promise.all(answers)) as { total?: number; message?: string }[]) {
  console.log(total ?? message)
}
await app.close()
