// Package endtoend has onejob on a real cluster, as deploy/base installs it with two
// replicas: real pods with the real runner, three nodes, and the simulator in
// Buildkite's place. The cluster is started once for all tests.
//
// The tests of the main job and of its secrets come first, one after another:
//
//	builds from end to end, and a cancelled one  TestMainJob, TestCanceledBuild
//	what a pipeline uses, in the shipped pod     TestPromises
//	a step's own image, with little in it        TestImage
//	a pod that a step describes                  TestPlugin
//	signed steps with an image of their own      TestSigning
//	each pipeline of examples/                   TestExamples
//	secrets, and pipelines that are hostile      TestJobFindsNoSecret, TestPipelineCannotChangeItsPod, TestTemplateCannotGiveTheToken, TestJobsForgeTheirEnd, TestJobHoldsThePort
//	what onejob doctor finds, and its bundle     TestDoctor
//	the recipe to uninstall it, and again        TestUninstall
//
// Then comes what can go wrong with a job, row by row and side by side. Each row has
// a queue of its own and looks at all that its people look at: the job's page
// (notifications and the finish's detail), the Events on the kjob, the leader's
// metrics, and how the job ended.
//
//	what happens                               where it is shown
//	─────────────────────────────────────────  ─────────────────────────────────────────────────
//	pod lost before acquisition
//	  deleted, evicted, killed; the cap        TestLostPods/pod-…-before, …-to-the-cap
//	  its node gone, or dead from the start    TestLostNodes/node-gone-before, node-dead-before
//	pod lost after acquisition
//	  out of memory, killed, evicted, deleted  TestLostPods, TestDrainPolicies/cancel-evicted
//	  node gone; node cut off                  TestLostNodes
//	  where Buildkite leaves it to the agent   TestLostPods/killed-while-running
//	image, name, Secret, volume, command       TestNeverStarted
//	an image volume on a runtime without       TestNeverStarted/image-volume-on-an-old-runtime, test/containerd2
//	a broken pull, and then a slow one         TestNeverStarted/image-pulled-late
//	unschedulable, PVC                         TestNeverStarted
//	suspended (Kueue) for long, cancelled then TestNeverStarted/suspended-…, scheduler.TestSuspended…
//	no room in a queue of Kueue, preempted     TestKueue
//	kept out by a quota for long               TestNotAdmitted/quota-of-one-pod, quota-of-jobs
//	service account, quota, Pod Security       TestNotAdmitted (kjobs without a pod)
//	policy (one job, all jobs), webhook, quota TestNotAdmitted (kjobs that are refused)
//	invalid spec                               refused before there is a job: kjob.TestAdmissible, cmd/onejob.TestAdmissibleAsTheAPIServer
//	kjob suspended after its pod started       TestNeverStarted/suspended-while-waiting
//	kjob never called over, its pod is         TestLostPods/pod-killed-unended, pod-deleted-unended, exhausted-unended
//	namespace terminating, no RoleBinding      TestNotAdmitted
//	kjob deleted by hand, `onejob cancel`      TestByHand
//	pod without a kjob                         TestByHand/pod-without-kjob
//	job cancelled, timed out or taken by
//	another agent while it waits               TestByHand (within what time: scene.removedAfter); TestTakenWhileTheImageIsPulled
//	build cancelled with thousands queued      TestByHand, and in what time and calls: scheduler.TestBuildCancelled
//	reservation expired with a live kjob       TestOfferedAgain
//	kjob finished, job offered again           TestOfferedAgain, TestRunnerExits/exit-27-rejected
//	exits 27, 28, 70, 75, 77, 78, 143          TestRunnerExits, TestLostPods (143)
//	another container beside the agent's       TestBesideOthers
//	agent silent, its pod lives                TestRunnerExits/silent-runner, runner-outlives-job; TestNeverStarted/deadline-…
//	queue paused                               TestByHand/queue-paused
//	SIGTERM and evictions by policy            TestDrainPolicies
//	less time than the pod promises            TestDrainPolicies/cancel-cut-to-ten-seconds, cancel-after-prestop
//	placeholders (min-agents) and preemption   TestWarm
//	each attempt as spans, at a collector      TestTraces
//
// What no real cluster does on demand is shown in virtual time (package k8s/scheduler) and
// in test/controlplane:
//
//	scheduler restarts, loses its Lease        scheduler.TestLease, TestLeaseLostAndWonAgain, TestDeletedWhileNobodyLeads; test/controlplane
//	partitioned from either API                scheduler.TestOutages, TestAPIServerOutage; test/controlplane
//	clock skew                                 cache.TestSights; scheduler.TestClockIsSetWhileAPodWaits; decide.TestDecide ("28, not before …", "… a deadline that is hours away"); kube.TestSkew; stacks.TestNotifierWithAnotherClock
//	410, tombstones                            scheduler.TestTombstoneAfterAnExpiredWatch
//	conflict                                   scheduler.TestSuspendedIsDeletedAsItWasSeen, TestCancel, TestResponseToCreate
//	AlreadyExists                              scheduler.TestResponseToCreate, TestResponseToGet, TestTwoSchedulers
//	a create that timed out but was applied    scheduler.TestResponseToCreate, TestLostCreates, TestUnseenKjob
//	all of these at random                     histories.TestHistories
package endtoend
