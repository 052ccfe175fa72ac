// Routes from a node to the pods of the others: what kind's own network does beside its plugins.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The file in which a node's kubelet finds the API.
const kubelet = "/etc/kubernetes/kubelet.conf"

func main() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	// By the node's own way to it: Services may not work before there are routes, and whoever waits for them waits half a minute.
	ways, err := clientcmd.LoadFromFile(kubelet)
	if err != nil {
		log.Fatal(err)
	}
	for _, cluster := range ways.Clusters {
		config.Host = cluster.Server
	}
	config.Timeout = 2 * time.Second
	client := kubernetes.NewForConfigOrDie(config)
	for ; ; time.Sleep(2 * time.Second) {
		nodes, err := client.CoreV1().Nodes().List(context.Background(), meta.ListOptions{})
		if err != nil {
			log.Print(err)
			continue
		}
		for _, node := range nodes.Items {
			if err := lead(&node); err != nil {
				log.Printf("%s: %v", node.Name, err)
			}
		}
	}
}

// Leads to a node's pods, unless it is this one, or has none yet.
func lead(node *core.Node) error {
	if node.Name == os.Getenv("NODE") || node.Spec.PodCIDR == "" {
		return nil
	}
	_, pods, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return err
	}
	for _, address := range node.Status.Addresses {
		if address.Type == core.NodeInternalIP {
			return netlink.RouteReplace(&netlink.Route{Dst: pods, Gw: net.ParseIP(address.Address)})
		}
	}
	return nil
}
