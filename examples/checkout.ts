/** The code that `park.spec.ts` tests: ordinary functions that know nothing of greenlets. */

export interface Item {
  readonly name: string
  readonly price: number
}

export interface Bank {
  /** Returns the number of the receipt; throws if the card is declined. */
  charge(amount: number): string
}

export function checkout(items: readonly Item[], bank: Bank, order: { state: string }): string[] {
  try {
    const receipts = payAll(items, bank)
    order.state = 'paid'
    return receipts
  } finally {
    if (order.state !== 'paid') order.state = 'cancelled'
  }
}

function payAll(items: readonly Item[], bank: Bank): string[] {
  return items.map(function pay(item) {
    return bank.charge(item.price)
  })
}
