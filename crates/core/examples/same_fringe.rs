//! Do two trees have the same leaves in the same order? Two recursive walks, side by side, stopped at the first difference.
//!
//! `cargo run -p greenlets-core --example same_fringe`

use std::rc::Rc;

use greenlets_core::{Greenlet, Thrown, unpack};

enum Tree {
    Leaf(char),
    Node(Box<Tree>, Box<Tree>),
}

use Tree::Leaf;

fn node(left: Tree, right: Tree) -> Tree {
    Tree::Node(Box::new(left), Box::new(right))
}

/// An iterator over the values that a recursive function yields, from any depth.
struct Walk {
    walker: Greenlet,
}

impl Walk {
    fn new(tree: Rc<Tree>) -> Walk {
        fn visit(tree: &Tree) -> Result<(), Thrown> {
            match tree {
                Leaf(leaf) => {
                    // The greenlet that made the walk is its parent, and asks for the leaves. A walk that is dropped half way
                    // ends here, by `?`.
                    Greenlet::switch_to_parent(Box::new(Some(*leaf)))?;
                    Ok(())
                }
                Tree::Node(left, right) => {
                    visit(left)?;
                    visit(right)
                }
            }
        }
        let walker = Greenlet::new(move |_| {
            visit(&tree)?;
            Ok(Box::new(None::<char>))
        });
        Walk { walker }
    }
}

impl Iterator for Walk {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.walker.is_dead() {
            return None;
        }
        let leaf = self.walker.switch(Box::new(())).expect("a walk throws nothing");
        unpack(leaf).expect("a walk hands out leaves")
    }
}

fn same_fringe(left: &Rc<Tree>, right: &Rc<Tree>) -> bool {
    Walk::new(left.clone()).eq(Walk::new(right.clone()))
}

fn main() {
    let left = Rc::new(node(node(Leaf('a'), Leaf('b')), Leaf('c')));
    let right = Rc::new(node(Leaf('a'), node(Leaf('b'), Leaf('c'))));
    let other = Rc::new(node(Leaf('a'), node(Leaf('x'), Leaf('c'))));

    println!("leaves: {}", Walk::new(left.clone()).collect::<String>());
    println!("((a b) c) and (a (b c)): {}", same_fringe(&left, &right));
    println!("((a b) c) and (a (x c)): {}", same_fringe(&left, &other));
    assert!(same_fringe(&left, &right) && !same_fringe(&left, &other));
    assert_eq!(Greenlet::all().len(), 1, "the walks that stopped at the difference have ended");
}
