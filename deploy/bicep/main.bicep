// cosmirror on Azure Container Apps, with an identity that can read the source, keep its leases, and add to the mirror, and can delete
// nothing of the mirror. No keys: the storage account does not accept any.
//
//   az deployment group create --resource-group mirror --template-file deploy/bicep/main.bicep --parameters deploy/bicep/example.bicepparam
//
// The Cosmos account exists and may lie in another resource group of the same subscription. Deploying needs the right to assign roles
// (Owner, or User Access Administrator beside Contributor) in both groups.

targetScope = 'resourceGroup'

@description('Where everything is made. The mirror is best in another region than the Cosmos account: then it survives the loss of that region.')
param location string = resourceGroup().location

@description('What every name begins with.')
@minLength(3)
@maxLength(16)
param name string = 'cosmirror'

@description('The image, such as registry.azurecr.io/cosmirror:0.1.0; none is published.')
param image string

@description('The Azure container registry of the image, in this resource group; empty for a registry that needs no login.')
param registryName string = ''

@description('The name of the Cosmos account that is followed.')
param cosmosAccountName string

@description('Its resource group.')
param cosmosResourceGroup string = resourceGroup().name

@description('What is followed.')
@minLength(1)
param containers containerType[]

@description('The database of the lease container, in the same account. It exists; the container is made.')
param leaseDatabase string

@description('The name of the lease container.')
param leaseContainer string = 'leases'

@description('How far the feed of all versions goes back: the account\'s continuous backup.')
@allowed(['7d', '30d'])
param feedRetention string = '7d'

@description('Least replicas. Two share the work; one is enough for small containers. Never 0.')
@minValue(1)
param replicasMin int = 2

@description('Most replicas. More than there are ranges do nothing.')
@minValue(1)
param replicasMax int = 2

@description('Redundancy of the mirror.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param storageSku string = 'Standard_ZRS'

@description('For how many days a deleted blob, version or container can be brought back. The mirror does not list what is deleted: undelete it first.')
@minValue(7)
@maxValue(365)
param softDeleteDays int = 30

@description('Protects every version from deletion and change, by anybody, for so many days from its creation; 0 is off. That is no window of history: a version that rested for longer than that is not protected on the day on which it is replaced, and needed. A container cannot be switched over later, neither on nor off, so decide before the first deployment; storage is paid for until then.')
@minValue(0)
@maxValue(146000)
param immutableDays int = 0

@description('Tags each document\'s newest version with op and feed (target.tags). The writer\'s role can write tags then; each blob\'s tags are billed every month.')
param tags bool = false

@description('Moves replaced versions to the cool tier so many days after their creation: cheaper to keep, dearer to read, at hand at once; 0 is off. Nothing here deletes versions: the account counts their age from creation, so it would delete the last good version of a document that had rested for longer, right after it was overwritten.')
@minValue(0)
param coolVersionsAfterDays int = 0

@description('A URL that each replica calls while all is well, so that its receiver tells when that stops. Empty: none, and a mirror that stands still is told by nobody.')
@secure()
param heartbeatUrl string = ''

@description('Lets other apps of the environment reach the admin port: metrics, health and the page, of one replica or another. Otherwise nobody does but the probes.')
param reachable bool = false

@description('Locks the storage account against deletion.')
param lockStorage bool = true

@description('Object id of a person or group who may restore: who may write to the followed containers, and read the mirror. Empty: nobody by this template.')
param restorePrincipalId string = ''

@description('What that is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param restorePrincipalType string = 'Group'

type containerType = {
  @description('Name of the database.')
  database: string
  @description('Name of the container.')
  container: string
  @description('The feed: latest-version works on every account.')
  feed: 'all-versions-and-deletes' | 'latest-version'
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-identity'
  location: location
}

module storage 'modules/storage.bicep' = {
  name: '${name}-storage'
  params: {
    location: location
    name: name
    sku: storageSku
    softDeleteDays: softDeleteDays
    immutableDays: immutableDays
    coolVersionsAfterDays: coolVersionsAfterDays
    tags: tags
    lock: lockStorage
    writerPrincipalId: identity.properties.principalId
    restorePrincipalId: restorePrincipalId
    restorePrincipalType: restorePrincipalType
  }
}

module cosmos 'modules/cosmos.bicep' = {
  name: '${name}-cosmos'
  scope: resourceGroup(cosmosResourceGroup)
  params: {
    accountName: cosmosAccountName
    containers: containers
    leaseDatabase: leaseDatabase
    leaseContainer: leaseContainer
    principalId: identity.properties.principalId
    restorePrincipalId: restorePrincipalId
  }
}

module app 'modules/app.bicep' = {
  name: '${name}-app'
  params: {
    location: location
    name: name
    image: image
    registryName: registryName
    identityId: identity.id
    identityClientId: identity.properties.clientId
    identityPrincipalId: identity.properties.principalId
    sourceEndpoint: cosmos.outputs.endpoint
    targetEndpoint: storage.outputs.endpoint
    targetContainer: storage.outputs.container
    containers: containers
    leaseDatabase: leaseDatabase
    leaseContainer: leaseContainer
    feedRetention: feedRetention
    tags: tags ? 'true' : 'false'
    replicasMin: replicasMin
    replicasMax: replicasMax
    heartbeatUrl: heartbeatUrl
    reachable: reachable
  }
}

output storageAccount string = storage.outputs.account
output blobEndpoint string = storage.outputs.endpoint
output identityClientId string = identity.properties.clientId
output containerApp string = app.outputs.name
