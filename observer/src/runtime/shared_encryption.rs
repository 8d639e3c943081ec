//! What is known of a flow's encryption. Most flows are plain, or not known yet: they share one value.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use crate::model::{Encryption, EncryptionStatus};

static UNKNOWN: LazyLock<Arc<Encryption>> = LazyLock::new(Arc::default);
static PLAINTEXT: LazyLock<Arc<Encryption>> =
    LazyLock::new(|| Arc::new(Encryption { status: EncryptionStatus::Plaintext, ..Encryption::default() }));

/// See the module.
pub struct SharedEncryption(Arc<Encryption>);

impl Default for SharedEncryption {
    fn default() -> Self {
        Self(UNKNOWN.clone())
    }
}

impl From<Encryption> for SharedEncryption {
    fn from(encryption: Encryption) -> Self {
        let shared = [&UNKNOWN, &PLAINTEXT].into_iter().find(|shared| ****shared == encryption);
        Self(shared.map_or_else(|| Arc::new(encryption), |shared| Arc::clone(shared)))
    }
}

impl Deref for SharedEncryption {
    type Target = Encryption;

    fn deref(&self) -> &Encryption {
        &self.0
    }
}
