//! Others who observe, too: their programs, another observer, and cgroups and namespaces that come and go.

#[path = "coexistence/comings.rs"]
mod comings;
#[path = "coexistence/foreign.rs"]
mod foreign;
#[path = "coexistence/observers.rs"]
mod observers;
#[path = "coexistence/others.rs"]
mod others;
#[path = "coexistence/scene.rs"]
mod scene;
