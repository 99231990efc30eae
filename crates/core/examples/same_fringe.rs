//! Do two trees have the same leaves in the same order? Two recursive walks, side by side, stopped at the first difference.
//!
//! `cargo run -p greenlets-core --example same_fringe`

use std::rc::Rc;

use greenlets_core::{Generator, Greenlet, Thrown, Yielder};

enum Tree {
    Leaf(char),
    Node(Box<Tree>, Box<Tree>),
}

use Tree::{Leaf, Node};

fn node(left: Tree, right: Tree) -> Tree {
    Node(Box::new(left), Box::new(right))
}

/// Yields the leaves of a tree, from any depth.
fn visit(tree: &Tree, leaves: &Yielder<char>) -> Result<(), Thrown> {
    match tree {
        Leaf(leaf) => leaves.yield_(*leaf),
        Node(left, right) => {
            visit(left, leaves)?;
            visit(right, leaves)
        }
    }
}

fn leaves(tree: &Rc<Tree>) -> impl Iterator<Item = char> {
    let tree = tree.clone();
    // SAFETY: `visit` switches with nothing of a thread-local borrowed, initialised or set.
    let leaves = unsafe { Generator::new(move |leaves| visit(&tree, leaves)) };
    leaves.map(|leaf| leaf.expect("a walk fails nowhere"))
}

pub(crate) fn main() {
    let left = Rc::new(node(node(Leaf('a'), Leaf('b')), Leaf('c')));
    let right = Rc::new(node(Leaf('a'), node(Leaf('b'), Leaf('c'))));
    let other = Rc::new(node(Leaf('a'), node(Leaf('x'), Leaf('c'))));

    println!("leaves: {}", leaves(&left).collect::<String>());
    println!("((a b) c) and (a (b c)): {}", leaves(&left).eq(leaves(&right)));
    println!("((a b) c) and (a (x c)): {}", leaves(&left).eq(leaves(&other)));
    assert!(leaves(&left).eq(leaves(&right)) && !leaves(&left).eq(leaves(&other)));
    assert_eq!(Greenlet::all().len(), 1, "the walks that stopped at the difference have ended");
}
