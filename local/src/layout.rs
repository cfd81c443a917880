//! From documents to processes: which parts, on which ports, with which plan and control files.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ownership::{ControlDocument, RunRef};
use plans::{Named, ReceiverAt};
use serde::Serialize;

use crate::endpoint::Resolver;
use crate::folders::Folders;
use crate::parts::{PartSpec, Role};
use crate::ports::Ports;
use crate::process::Program;
use crate::run::RunError;
use crate::scale::Sink;

/// The parts of one run and how to reach them.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) receivers: Vec<PartSpec>,
    pub(crate) workers: Vec<PartSpec>,
    pub(crate) generators: Vec<PartSpec>,
    /// The sink that may be scaled.
    pub(crate) sink: Option<Sink>,
    pub(crate) stores: Vec<Store>,
}

/// A receiver that was laid out.
#[derive(Debug)]
pub(crate) struct Store {
    namespace: String,
    name: String,
    pub(crate) base: String,
    spec: api::RemoteWriteReceiverSpec,
}

pub(crate) struct Builder<'a> {
    /// All that is run, one after the other or at once.
    pub(crate) bundle: &'a api::Bundle,
    pub(crate) resolver: &'a Resolver,
    pub(crate) folders: &'a Folders,
    pub(crate) ports: &'a mut Ports,
    /// The run that all this is for; `None` when no test runs.
    pub(crate) run: Option<RunRef>,
    /// Fixed address for worker 0; the others follow on the next ports.
    pub(crate) listen: Option<SocketAddr>,
}

impl Builder<'_> {
    pub(crate) fn receiver(
        &mut self,
        layout: &mut Layout,
        object: &api::Object<api::RemoteWriteReceiverSpec>,
    ) -> Result<(), RunError> {
        let address = self.ports.take().map_err(RunError::Start)?;
        let conductor = self.run.as_ref().map(|run| run.conductor.clone());
        let control = plans::receiver_control(&object.spec, conductor, self.resolver)?;
        let scheme = match &control.tls {
            None => "http",
            Some(tls) => {
                self.resolver.check_server(tls)?;
                "https"
            }
        };
        let name = object.name_among(&self.bundle.receivers);
        let path = self.write(&format!("receiver-{name}.json"), &control)?;
        let base = format!("{scheme}://{address}");
        layout.stores.push(Store {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            base,
            spec: object.spec.clone(),
        });
        let ordinal = layout.receivers.len() as u32;
        let arguments = vec!["--control".into(), path.into(), "--ordinal".into(), ordinal.to_string().into()];
        layout.receivers.push(self.part(
            Role::Receiver,
            ordinal,
            &name,
            address,
            arguments,
            true,
            Duration::from_secs(10),
        ));
        Ok(())
    }

    /// The workers of a sink; the receivers that it names must have been laid out before. Room is left for `most` workers.
    pub(crate) fn sink(
        &mut self,
        layout: &mut Layout,
        object: &api::Object<api::RemoteWriteSinkSpec>,
        most: u32,
    ) -> Result<(), RunError> {
        let spec = &object.spec;
        let receiver = spec.backend.receiver_ref.as_ref().and_then(|to| layout.store(&object.namespace, &to.name));
        let receiver = receiver.map(|store| ReceiverAt { spec: &store.spec, base: &store.base });
        let name = object.name_among(&self.bundle.sinks);
        let named = Named { name: &name, spec };
        let mut plan = plans::sink_plan(named, receiver, self.resolver)?;
        self.resolver.settle(&mut plan.backend, "spec.backend")?;
        let plan_path = self.write(&format!("sink-{name}.json"), &plan)?;
        let addresses =
            (0..spec.replicas.max(most)).map(|ordinal| self.worker_address(ordinal)).collect::<Result<Vec<_>, _>>()?;
        let uid = format!("local-{name}-{}", std::process::id());
        let first = addresses.iter().take(spec.replicas as usize).map(ToString::to_string);
        let control = ControlDocument { run: self.run.clone(), ..plans::first_control(&uid, spec, first.collect()) };
        let control_path = self.write(&format!("ownership-{name}.json"), &control)?;
        let mut workers = Vec::new();
        for (ordinal, address) in (0..).zip(&addresses) {
            let arguments: Vec<OsString> = vec![
                "--plan".into(),
                plan_path.clone().into(),
                "--control".into(),
                control_path.clone().into(),
                "--ordinal".into(),
                u32::to_string(&ordinal).into(),
            ];
            let grace = spec.drain_timeout.0 + Duration::from_secs(5);
            workers.push(self.part(Role::SinkWorker, ordinal, &name, *address, arguments, true, grace));
        }
        let first = workers.iter().take(spec.replicas as usize);
        layout.workers.extend(first.cloned());
        let drain_timeout = spec.drain_timeout.0;
        layout.sink = Some(Sink { document: control, path: control_path, workers, drain_timeout });
        Ok(())
    }

    pub(crate) fn generators(&mut self, layout: &mut Layout, count: u32, conductor: &str) -> Result<(), RunError> {
        for index in 0..count {
            let address = self.ports.take().map_err(RunError::Start)?;
            let arguments = vec!["--conductor".into(), conductor.into(), "--index".into(), index.to_string().into()];
            let spec =
                self.part(Role::Generator, index, "generator", address, arguments, false, Duration::from_secs(10));
            layout.generators.push(spec);
        }
        Ok(())
    }

    fn worker_address(&mut self, ordinal: u32) -> Result<SocketAddr, RunError> {
        match self.listen {
            None => self.ports.take().map_err(RunError::Start),
            // Whoever is told of it could not find the port that the system would choose.
            Some(first) if first.port() == 0 => {
                Err(RunError::Usage(format!("--listen {first}: 0 is no port; name one, such as {}:9400", first.ip())))
            }
            Some(first) => {
                let port = u32::from(first.port()) + ordinal;
                let port = u16::try_from(port).map_err(|_| {
                    RunError::Usage(format!(
                        "--listen {first}: worker {ordinal} would need port {port}; take a lower one"
                    ))
                })?;
                let address = SocketAddr::new(first.ip(), port);
                // Asked for by name, so it must be free now; a child would only say so in its log.
                std::net::TcpListener::bind(address).map_err(|error| {
                    RunError::Usage(format!("--listen {first}: cannot listen on {address} for sink-worker {ordinal}: {error}; take another port or end what uses it"))
                })?;
                Ok(address)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each differs from role to role")]
    fn part(
        &self,
        role: Role,
        ordinal: u32,
        name: &str,
        address: SocketAddr,
        more: Vec<OsString>,
        restart: bool,
        grace: Duration,
    ) -> PartSpec {
        let mut arguments: Vec<OsString> =
            vec![role.as_str().into(), "--listen".into(), address.to_string().into(), "--end-with-stdin".into()];
        arguments.extend(more);
        let log = self.folders.logs.join(format!("{}-{name}-{ordinal}.log", role.as_str()));
        PartSpec { role, ordinal, program: Program { arguments, log }, address, restart, grace }
    }

    fn write<T: Serialize>(&self, name: &str, document: &T) -> Result<PathBuf, RunError> {
        let path = self.folders.control.join(name);
        write_json(&path, document).map_err(|error| RunError::Write(path.clone(), error))?;
        Ok(path)
    }
}

impl Layout {
    fn store(&self, namespace: &str, name: &str) -> Option<&Store> {
        self.stores.iter().find(|store| store.namespace == namespace && store.name == name)
    }

    pub(crate) fn addresses(specs: &[PartSpec]) -> Vec<String> {
        specs.iter().map(|spec| format!("http://{}", spec.address)).collect()
    }
}

/// Whole or not at all: a reader never sees half a document.
pub(crate) fn write_json<T: Serialize>(path: &Path, document: &T) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(document)?;
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, path)
}
