// Program kubernetes is etcd, the components of Kubernetes and kubectl in one executable.
//
// The name it is started by picks the component (a symbolic link `kubectl` to it is kubectl),
// else the first argument. One executable instead of seven, because they share nearly all of
// their code: it links in the time of one and takes the disk of one.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	// What the components' own main packages register.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// Each takes its arguments, its own name first. Commands are made on demand, because their
// flags share process-wide registries.
var components = map[string]func(arguments []string){
	"etcd":                    etcdmain.Main,
	"kube-apiserver":          func([]string) { serve(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func([]string) { serve(controllermanager.NewControllerManagerCommand()) },
	"kube-proxy":              func([]string) { serve(proxy.NewProxyCommand()) },
	"kube-scheduler":          func([]string) { serve(scheduler.NewSchedulerCommand()) },
	"kubelet":                 func([]string) { serve(kubelet.NewKubeletCommand(context.Background())) },
	"kubectl": func([]string) {
		util.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
	},
}

func main() {
	if _, named := components[filepath.Base(os.Args[0])]; !named {
		os.Args = os.Args[1:]
	}
	if len(os.Args) > 0 {
		if run, known := components[filepath.Base(os.Args[0])]; known {
			run(os.Args)
			return
		}
	}
	names := make([]string, 0, len(components))
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: kubernetes COMPONENT [FLAG...]; COMPONENT is one of %v\n", names)
	os.Exit(2)
}

func serve(command *cobra.Command) {
	os.Exit(cli.Run(command))
}
