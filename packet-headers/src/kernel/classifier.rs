//! One of our classifiers on one direction of an interface. Dropping it detaches it.

use anyhow::Result;
use aya::programs::links::LinkOrder;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_detach_program,
};
use aya::programs::{MultiProgLink as _, TcAttachType};
use model::AttachMethod;

use super::link_state::LinkDescriptor;
use super::load::Programs;
use super::tc_filter::FilterPlace;
use crate::host::interfaces::Interface;

/// The priority of our netlink filters: before most others, so that we see packets that they drop.
pub(crate) const NETLINK_PRIORITY: u16 = 1;

/// The handle of our netlink filters, which tells them from others of the same priority.
const NETLINK_HANDLE: u16 = 0x7068;

/// A classifier that is attached.
#[derive(Debug)]
pub(super) struct Classifier {
    direction: &'static str,
    place: Place,
    /// The ID of the program.
    program: u32,
    _link: SchedClassifierLink,
}

/// Where to look whether it is still attached.
#[derive(Debug)]
enum Place {
    Tcx(LinkDescriptor),
    Filter(FilterPlace),
}

impl Classifier {
    /// Attaches the program of this name: first on ingress and last on egress, so that it sees what
    /// is on the wire.
    pub(super) fn attach(
        programs: &mut Programs,
        method: AttachMethod,
        interface: &Interface,
        (name, direction): (&str, TcAttachType),
    ) -> Result<Self> {
        let options = match method {
            AttachMethod::Tcx => TcAttachOptions::TcxOrder(match direction {
                TcAttachType::Egress => LinkOrder::last(),
                TcAttachType::Ingress | TcAttachType::Custom(_) => LinkOrder::first(),
            }),
            AttachMethod::Netlink | AttachMethod::Socket | AttachMethod::Raw => {
                remove_stale(&interface.name, name, direction);
                TcAttachOptions::Netlink(NlOptions {
                    priority: NETLINK_PRIORITY,
                    handle: TcHandle::new(0, NETLINK_HANDLE),
                    ..NlOptions::default()
                })
            }
        };
        let program = programs.classifier(name)?;
        let link = program.attach_with_options(&interface.name, direction, options)?;
        let link = program.take_link(link)?;
        let place = match method {
            AttachMethod::Tcx => Place::Tcx(LinkDescriptor::of(link.fd()?)),
            AttachMethod::Netlink | AttachMethod::Socket | AttachMethod::Raw => {
                Place::Filter(FilterPlace {
                    ifindex: interface.index,
                    direction,
                    priority: NETLINK_PRIORITY,
                    handle: NETLINK_HANDLE,
                })
            }
        };
        Ok(Self {
            direction: match direction {
                TcAttachType::Egress => "egress",
                TcAttachType::Ingress | TcAttachType::Custom(_) => "ingress",
            },
            place,
            program: program.info()?.id(),
            _link: link,
        })
    }

    /// Why it is not attached any more, in words, if it is not.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn gone(&self) -> Result<Option<String>> {
        let gone = match &self.place {
            Place::Tcx(link) => link.gone(self.program)?,
            Place::Filter(place) => place.gone(self.program)?,
        };
        Ok(gone.map(|gone| format!("{} {gone}", self.direction)))
    }
}

/// Removes the filter that an earlier run left which was killed; it has the name of ours.
fn remove_stale(interface: &str, program: &str, direction: TcAttachType) {
    if qdisc_detach_program(interface, direction, program).is_ok() {
        tracing::info!("{interface}: removed the filter {program} of an earlier run");
    }
}
