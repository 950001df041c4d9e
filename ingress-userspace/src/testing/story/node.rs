//! The `genkan` processes of a story: started, watched, signalled and replaced at the edge.

use std::process::Output;

use super::{DEADLINE, ExitStatus, ExitStatusExt, Process, Signal, Story};

/// What `genkan run` logs once it serves.
const READY: &str = " genkan::app: ready ";

// === impl Story ===

impl Story {
    /// Starts `genkan run` and waits until it serves.
    pub fn start(&mut self) -> &mut Self {
        let process = self.spawn();
        process.wait_for_line(READY, DEADLINE);
        self.process = Some(process);
        self
    }

    /// Starts a second `genkan run` beside the first, waits until it serves, and gives the first.
    pub fn start_successor(&mut self) -> Process {
        let old = self.process.take().expect("the story runs a process");
        self.start();
        old
    }

    /// From here on `process` is the story's own, as when an operator has replaced it.
    pub fn adopt(&mut self, process: Process) -> Option<Process> {
        self.process.replace(process)
    }

    /// As [`Self::start`], with the standard output into a shell command, which may end before it.
    pub fn start_into(&mut self, reader: &str) -> &mut Self {
        self.start_by(&format!("exec \"$0\" \"$@\" > >({reader})"))
    }

    /// As [`Self::start`]; from then on nobody reads its standard error.
    pub fn start_with_a_stuck_log(&mut self) -> &mut Self {
        // Holds the pipe as long as the process runs, whose id is that of the shell.
        let hold = "exec tail --pid=$$ -f /dev/null";
        let reader = format!("echo \"$line\" >&2; [[ $line == *'{READY}'* ]] && {hold}");
        self.start_by(&format!("exec \"$0\" \"$@\" 2> >(while read -r line; do {reader}; done)"))
    }

    fn start_by(&mut self, script: &str) -> &mut Self {
        let arguments = self.run_arguments();
        let mut all = vec!["-c", script, self.program.to_str().unwrap()];
        all.extend(arguments.iter().map(String::as_str));
        let process = self.edge().spawn("bash", &all);
        process.wait_for_line(READY, DEADLINE);
        self.process = Some(process);
        self
    }

    /// `genkan run` without waiting for anything.
    pub fn spawn(&self) -> Process {
        self.spawn_command("run", &self.arguments)
    }

    pub(super) fn spawn_command(&self, name: &str, more: &[String]) -> Process {
        let arguments = self.arguments_of(name, more);
        let program = self.program.to_str().unwrap();
        let wrapper = self.wrapper.iter().map(String::as_str);
        let mut words = wrapper.chain([program]).chain(arguments.iter().map(String::as_str));
        let mut command = self.edge().command(words.next().expect("the program is one"));
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::spawn(&format!("edge: {program}"), command)
    }

    fn run_arguments(&self) -> Vec<String> {
        self.arguments_of("run", &self.arguments)
    }

    fn arguments_of(&self, command: &str, more: &[String]) -> Vec<String> {
        let paths = [
            ("--config", self.config_file().to_owned()),
            match &self.kubeconfig {
                Some(file) => ("--kubeconfig", file.clone()),
                None => ("--manifests", self.manifests.directory().to_owned()),
            },
            ("--runtime-dir", self.runtime_directory()),
        ];
        let paths = paths.into_iter().flat_map(|(flag, path)| {
            [flag.to_owned(), path.to_str().expect("paths of a story are text").to_owned()]
        });
        let own = [command.to_owned()].into_iter().chain(paths);
        own.chain(more.iter().cloned()).collect()
    }

    /// The running process. Panics when there is none.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the story runs a process")
    }

    /// What the running process has printed.
    pub fn log(&self) -> String {
        self.process.as_ref().expect("the story runs a process").output()
    }

    /// Waits for a line of the running process's output.
    pub fn wait_for_log(&self, text: &str) -> String {
        let process = self.process.as_ref().expect("the story runs a process");
        process.wait_for_line(text, DEADLINE)
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the story runs a process");
        process.signal(Signal::SIGKILL);
        let status = process.wait(DEADLINE);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{}", process.output());
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the story runs a process");
        process.signal(Signal::SIGTERM);
        process.wait(DEADLINE)
    }

    /// Runs another command of the program at the edge, to its end.
    pub fn genkan(&self, arguments: &[&str]) -> Output {
        let mut command = self.edge().command(self.program.to_str().unwrap());
        command.args(arguments).output().unwrap()
    }
}
