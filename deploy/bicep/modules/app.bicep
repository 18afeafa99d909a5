// The daemon, as a container app. Without ingress nobody reaches it, not even from its environment: only the platform's probes do. So it tells by the
// heartbeat that it works; an ingress within the environment opens metrics and page, of whichever replica the platform chooses.

param location string
param name string
param image string
param registryName string
param identityId string
param identityClientId string
param identityPrincipalId string
param sourceEndpoint string
param targetEndpoint string
param targetContainer string
param containers array
param leaseDatabase string
param leaseContainer string
param feedRetention string
@description('true or false, as the program reads it.')
param tags string
param replicasMin int
param replicasMax int
@secure()
param heartbeatUrl string
param reachable bool

var pullRole = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

var settings = [
  {
    name: 'COSMIRROR_CONFIG'
    value: ''
  }
  {
    name: 'AZURE_CLIENT_ID'
    value: identityClientId
  }
  {
    name: 'COSMIRROR__SOURCE__ENDPOINT'
    value: sourceEndpoint
  }
  {
    name: 'COSMIRROR__SOURCE__AUTH'
    value: 'managed-identity'
  }
  {
    name: 'COSMIRROR__SOURCE__FEED_RETENTION'
    value: feedRetention
  }
  {
    name: 'COSMIRROR__LEASES__DATABASE'
    value: leaseDatabase
  }
  {
    name: 'COSMIRROR__LEASES__CONTAINER'
    value: leaseContainer
  }
  {
    name: 'COSMIRROR__LEASES__CREATE'
    value: 'false'
  }
  {
    name: 'COSMIRROR__TARGET__ENDPOINT'
    value: targetEndpoint
  }
  {
    name: 'COSMIRROR__TARGET__CONTAINER'
    value: targetContainer
  }
  {
    name: 'COSMIRROR__TARGET__AUTH'
    value: 'managed-identity'
  }
  {
    name: 'COSMIRROR__TARGET__CREATE'
    value: 'false'
  }
  {
    name: 'COSMIRROR__TARGET__TAGS'
    value: tags
  }
  {
    name: 'COSMIRROR__ADMIN__LISTEN'
    value: '0.0.0.0:9464'
  }
]

var followed = flatten(map(range(0, length(containers)), i => [
  {
    name: 'COSMIRROR__CONTAINERS__${i}__DATABASE'
    value: containers[i].database
  }
  {
    name: 'COSMIRROR__CONTAINERS__${i}__CONTAINER'
    value: containers[i].container
  }
  {
    name: 'COSMIRROR__CONTAINERS__${i}__FEED'
    value: containers[i].feed
  }
]))

var heartbeat = empty(heartbeatUrl) ? [] : [
  {
    name: 'COSMIRROR_HEARTBEAT_URL'
    secretRef: 'heartbeat-url'
  }
]

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = if (!empty(registryName)) {
  name: empty(registryName) ? 'none' : registryName
}

resource pulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(registryName)) {
  name: guid(resourceGroup().id, registryName, identityPrincipalId, pullRole)
  scope: registry
  properties: {
    roleDefinitionId: pullRole
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    retentionInDays: 30
    sku: {
      name: 'PerGB2018'
    }
  }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: '${name}-environment'
  location: location
  properties: {
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: logs.properties.customerId
        sharedKey: logs.listKeys().primarySharedKey
      }
    }
  }
}

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  dependsOn: [
    pulls
  ]
  properties: {
    environmentId: environment.id
    configuration: {
      activeRevisionsMode: 'Single'
      secrets: empty(heartbeatUrl) ? [] : [
        {
          name: 'heartbeat-url'
          value: heartbeatUrl
        }
      ]
      ingress: reachable ? {
        external: false
        targetPort: 9464
        transport: 'http'
      } : null
      registries: empty(registryName) ? [] : [
        {
          server: '${registryName}.azurecr.io'
          identity: identityId
        }
      ]
    }
    template: {
      // Draining takes 25 s at most, the last answers of the admin port 2 s more.
      terminationGracePeriodSeconds: 40
      containers: [
        {
          name: 'cosmirror'
          image: image
          args: [
            'run'
          ]
          env: concat(settings, followed, heartbeat)
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/startupz'
                port: 9464
              }
              periodSeconds: 5
              timeoutSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/livez'
                port: 9464
              }
              periodSeconds: 15
              timeoutSeconds: 5
              failureThreshold: 4
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: 9464
              }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
          volumeMounts: [
            {
              volumeName: 'temporary'
              mountPath: '/tmp'
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'temporary'
          storageType: 'EmptyDir'
        }
      ]
      scale: {
        minReplicas: replicasMin
        maxReplicas: replicasMax
      }
    }
  }
}

output name string = app.name
