//! YAML text to a tree whose nodes know where they stand. Bounded in depth and size; aliases count as what they stand for.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// Nested deeper than that is refused; the documents need about ten.
const MAX_DEPTH: usize = 64;

/// Nodes of one file, aliases expanded; each [`TEXT`] bytes of a scalar count as one more.
const MAX_NODES: usize = 100_000;
const TEXT: usize = 64;

/// Documents of one file.
const MAX_DOCUMENTS: usize = 1_000;

/// A place in the text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value in the text.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    /// Text without quotes, which may mean a number, a boolean or nothing.
    Plain(String),
    /// Text in quotes or a block: always a string.
    Quoted(String),
    List(Vec<Node>),
    /// In the order of the text; keys may repeat.
    Map(Vec<(Node, Node)>),
    /// Something that cannot be used, and why; reported where it is looked at.
    Unusable(String),
}

/// Why the rest of a file cannot be read.
#[derive(Debug)]
pub(crate) struct ComposeError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    key: Option<Node>,
    anchor: usize,
    nodes_before: usize,
}

struct Composer {
    stack: Vec<Open>,
    done: Vec<Node>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// The documents of a text, and what stopped the reading when something did; documents before it are whole.
pub(crate) fn compose(text: &str) -> (Vec<Node>, Option<ComposeError>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut composer = Composer { stack: Vec::new(), done: Vec::new(), anchors: HashMap::new(), nodes: 0 };
    let error = composer.run(&mut parser).err();
    let documents =
        composer.done.into_iter().filter(|node| !matches!(&node.kind, NodeKind::Plain(text) if text.is_empty()));
    (documents.collect(), error)
}

impl Composer {
    fn run(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Result<(), ComposeError> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| ComposeError {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                message: format!("this is not YAML: {}", error.info()),
            })?;
            if matches!(event, Event::StreamEnd) {
                break;
            }
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), ComposeError> {
        let place = Place { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                if self.done.len() >= MAX_DOCUMENTS {
                    return Err(refuse(place, format!("more than {MAX_DOCUMENTS} documents: split the file")));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let size = 1 + text.len() / TEXT;
                let kind = match tag.as_deref() {
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
                        NodeKind::Quoted(text.into_owned())
                    }
                    Some(tag)
                        if !tag.is_yaml_core_schema()
                            || !["int", "float", "bool", "null"].contains(&tag.suffix.as_str()) =>
                    {
                        NodeKind::Unusable(format!("the tag {tag} has no meaning here: remove it"))
                    }
                    _ if style == ScalarStyle::Plain => NodeKind::Plain(text.into_owned()),
                    _ => NodeKind::Quoted(text.into_owned()),
                };
                self.count(size, place)?;
                self.place(Node { place, kind }, anchor, size, place)?;
            }
            Event::SequenceStart(anchor, _) => self.open(NodeKind::List(Vec::new()), anchor, place)?,
            Event::MappingStart(anchor, _) => self.open(NodeKind::Map(Vec::new()), anchor, place)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    let size = self.nodes - open.nodes_before;
                    self.place(open.node, open.anchor, size, place)?;
                }
            }
            Event::Alias(id) => match self.anchors.get(&id) {
                Some((node, size)) => {
                    let (mut node, size) = (node.clone(), *size);
                    node.place = place;
                    self.count(size, place)?;
                    self.place(node, 0, size, place)?;
                }
                // An alias inside its own anchor would be endless.
                None => {
                    return Err(refuse(
                        place,
                        "this alias stands inside what it stands for: write the value out".to_owned(),
                    ));
                }
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, kind: NodeKind, anchor: usize, place: Place) -> Result<(), ComposeError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(refuse(place, format!("nested deeper than {MAX_DEPTH} levels: no document needs that")));
        }
        let nodes_before = self.nodes;
        self.count(1, place)?;
        self.stack.push(Open { node: Node { place, kind }, key: None, anchor, nodes_before });
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), ComposeError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(refuse(
                place,
                format!(
                    "more than {MAX_NODES} values in one file, aliases counted as what they stand for: split the file"
                ),
            ));
        }
        Ok(())
    }

    fn place(&mut self, node: Node, anchor: usize, size: usize, end: Place) -> Result<(), ComposeError> {
        if anchor != 0 {
            // A copy is memory too, so it counts like an alias.
            self.count(size, end)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.stack.last_mut() else {
            self.done.push(node);
            return Ok(());
        };
        match &mut open.node.kind {
            NodeKind::List(items) => items.push(node),
            NodeKind::Map(entries) => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => open.key = Some(node),
            },
            NodeKind::Plain(_) | NodeKind::Quoted(_) | NodeKind::Unusable(_) => {}
        }
        Ok(())
    }
}

fn refuse(place: Place, message: String) -> ComposeError {
    ComposeError { line: place.line, column: place.column, message }
}
