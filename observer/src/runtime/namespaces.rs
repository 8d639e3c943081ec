use crate::graph::NamespaceLabels;
use crate::identity::Index;
use crate::model::Label;

/// Policies select namespaces by labels, which the index keeps.
impl NamespaceLabels for Index {
    fn labels(&self, namespace: &str) -> Option<&[Label]> {
        self.namespace_labels(namespace)
    }
}
